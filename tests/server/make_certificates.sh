#!/usr/bin/env bash
# make_certificates.sh DIRECTORY: an authority, another one that nobody trusts, and what they certify, good for tests only.
#   ca, other-ca           authorities (.crt, .key)
#   server, server-renewed localhost, 127.0.0.1
#   server-expired, server-other (of other-ca), server-elsewhere (of another name)
#   alice, bob             clients; alice-expired, alice-other (of other-ca)
#   crl/                   revokes bob, under the name by which OpenSSL finds it; crl-stale/ has a list that is past its next update
set -euo pipefail
cd "$1"

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null && chmod 600 "$1.key"; }

new_authority() {
  new_key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 30 -addext keyUsage=critical,keyCertSign,cRLSign -out "$1.crt"
  mkdir -p "$1.d"
  : >"$1.d/index.txt"
  echo unique_subject=no >"$1.d/index.txt.attr"
  echo 1000 >"$1.d/serial"
  echo 01 >"$1.d/crlnumber"
  cat >"$1.cnf" <<CONFIG
[ca]
default_ca = authority
[authority]
database = $1.d/index.txt
serial = $1.d/serial
crlnumber = $1.d/crlnumber
new_certs_dir = $1.d
certificate = $1.crt
private_key = $1.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
[any]
commonName = supplied
CONFIG
}

# certify AUTHORITY NAME COMMON_NAME ALTERNATIVE_NAMES [DATES]
certify() {
  local authority=$1 name=$2 common_name=$3 alternatives=$4
  shift 4
  new_key "$name"
  openssl req -new -key "$name.key" -subj "/CN=$common_name" -out "$name.csr"
  openssl ca -batch -notext -config "$authority.cnf" -in "$name.csr" -out "$name.crt" -extfile <(echo "subjectAltName=$alternatives") "$@" 2>/dev/null
}

past=(-startdate 20200101000000Z -enddate 20200102000000Z)
new_authority ca
new_authority other-ca
certify ca server localhost DNS:localhost,IP:127.0.0.1
certify ca server-renewed localhost DNS:localhost,IP:127.0.0.1
certify ca server-expired localhost DNS:localhost,IP:127.0.0.1 "${past[@]}"
certify other-ca server-other localhost DNS:localhost,IP:127.0.0.1
certify ca server-elsewhere elsewhere DNS:elsewhere.example
certify ca alice alice DNS:alice.example
certify ca alice-expired alice DNS:alice.example "${past[@]}"
certify other-ca alice-other alice DNS:alice.example
certify ca bob bob DNS:bob.example
# OpenSSL takes the list that was made last, by the second.
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20200101000000Z -out before.pem 2>/dev/null
openssl ca -config ca.cnf -revoke bob.crt 2>/dev/null
openssl ca -config ca.cnf -gencrl -out revoked.pem 2>/dev/null
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200102000000Z -out stale.pem 2>/dev/null
mkdir -p crl crl-stale
name=$(openssl x509 -hash -noout -in ca.crt)
cp revoked.pem "crl/$name.r0"
cp stale.pem "crl-stale/$name.r0"

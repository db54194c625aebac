#pragma once

#include "client/listing.h"
#include "tunesmith/v1/clusters.pb.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/measurements.pb.h"
#include "tunesmith/v1/recommender.pb.h"

// Answers as records, a row for each thing in them.
namespace tunesmith::client {

// With `starred`, the first is marked as the choice. Named by their lines, as `estimate --mix` takes them.
Listing MixListing(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes, bool starred);

Listing RuntimeMixListing(const v1::RuntimeAnswer& answer);

// Every count that was tried, or only those that are possible; named by count and device, as --gpus takes them: 8xH100.
Listing DeviceCountListing(const v1::DeviceCountsAnswer& answer, bool impossible_too);

Listing ModelListing(const google::protobuf::RepeatedPtrField<v1::ModelSpec>& models);
Listing GpuListing(const google::protobuf::RepeatedPtrField<v1::Hardware>& gpus);
Listing JobListing(const google::protobuf::RepeatedPtrField<v1::Job>& jobs);
Listing MeasurementListing(const google::protobuf::RepeatedPtrField<v1::Measurement>& measurements);
Listing ClusterListing(const google::protobuf::RepeatedPtrField<v1::Cluster>& clusters);

// A listing of one.
template <typename Row>
Listing ListingOf(Listing (*listing)(const google::protobuf::RepeatedPtrField<Row>&),
                  const Row& row) {
  google::protobuf::RepeatedPtrField<Row> rows;
  *rows.Add() = row;
  return listing(rows);
}

}  // namespace tunesmith::client

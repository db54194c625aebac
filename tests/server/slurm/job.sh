#!/bin/bash
#SBATCH --job-name=tunesmith-6f1c-2
#SBATCH --output=log/slurm.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-node=8
#SBATCH --mem=1025M
#SBATCH --time=91
#SBATCH --signal=B:USR1@120
#SBATCH --partition=gpu
#SBATCH --constraint=a100&nvlink
#SBATCH --exclusive
exec '/opt/tunesmith/bin/tunesmith-shim' '--run-dir' '/srv/jobs of today/it'\''s' '--attempt' '2'

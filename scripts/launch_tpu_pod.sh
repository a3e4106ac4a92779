#!/bin/bash
# One run by all hosts of a Cloud TPU slice:
#
#     scripts/launch_tpu_pod.sh NAME ZONE distill siamfc_dst --teacher BUNDLE ...
#
# NAME and ZONE are those of the TPU. Every host runs the same command in its home; the
# first one writes the workdir, the others only read data and bundles, which must lie at
# the same place on each. The environment is installed as docs/pods.md says.
set -eu
name=$1 zone=$2
shift 2
words=$(printf '%q ' "$@")
# Variables of an earlier run over several slices would make this one wait for them.
gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all --command "
for one in \$(env | sed -n 's/^\(MEGASCALE_[A-Z_]*\)=.*/\1/p'); do unset \$one; done
. dst_jax/.venv/bin/activate && cd dst_jax && exec dst-jax $words --pod"

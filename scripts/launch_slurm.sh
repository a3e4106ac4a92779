#!/bin/bash
# One run by several nodes under Slurm, a process per node; edit the lines below, then
#
#     sbatch scripts/launch_slurm.sh distill siamfc_dst --teacher BUNDLE --workdir D ...
#
# The words behind the script are those of dst-jax. Slurm signals the run ten minutes
# before its time is over: it saves, and is queued again, and the same command goes on.
#SBATCH --job-name=dst-jax
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@600
#SBATCH --requeue
set -u

# JAX gives each task of a node one GPU if there are several tasks; here one has all.
srun --kill-on-bad-exit=0 --wait=300 dst-jax "$@" --pod
code=$?
# 143: the signal ended the run, which has saved.
if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

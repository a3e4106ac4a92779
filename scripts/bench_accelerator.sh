#!/usr/bin/env bash
# Measures on one accelerator what has figures in docs/results.md, beside PyTorch:
#
#   scripts/bench_accelerator.sh runs/accelerator
#   LIST=1 scripts/bench_accelerator.sh      # prints the commands, runs none
#
# Compiling takes most of the time, so all programs are compiled first, at the same
# time, into one store; then the benchmarks run one after another, each alone, and take
# their programs from there. Some two and four minutes on an H100 with 16 cores; the
# device needs up to 60 GB. The output of each command is kept in the folder as a log.
# PYTHON names the interpreter, which needs torch. TEACHER, a bundle of SiamFC, and
# PACKS, packed training data of siamfc_dst_short, add the start of a training.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/accelerator}
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python3}

# Parity with PyTorch and sizes of programs are told here, times below.
warm() {
  local ostrack="bench_ostrack.py --step --warm --steps 1"
  local dlf="bench_step.py --family siamdw --threads 16"
  cat <<LINES
bench_ostrack.py --parity --sizes 384 256 --parity-batch 2
$ostrack --precision bfloat16 --attention auto xla --sides here
$ostrack --precision full --sides here
$ostrack --precision bfloat16 --sides compiled
$ostrack --precision full --sides compiled
bench_ostrack.py --track --warm --sizes 384 256 192
$dlf --batch 16 --only check
$dlf --batch 64 --only time --sides dst_jax --rounds 1 --steps 1
$dlf --batch 64 --only time --sides compiled --torch-compile default --rounds 1 --steps 1
bench_pair.py --without-few --sides 5 17 --seconds 0.01 --queue 2
bench_pair.py --without-few --sides 21 24 --seconds 0.01 --queue 2
bench_batches.py --networks dstfc --batches 1 16 64 128 256 --apart 16 64 --targets 16 --frames 64 --rounds 1
bench_parallel.py --networks siamfc --batch 32 --rounds 1
bench_search.py --family siamfc-alexnet --batch 32 --steps 10 --search 1
bench_xcorr.py --only depthwise --case level, --seconds 0.02
LINES
}

measured() {
  cat <<LINES
bench_ostrack.py --step --rounds 4 --steps 8 --precision bfloat16 --attention auto xla
bench_ostrack.py --step --rounds 4 --steps 6 --precision full
bench_ostrack.py --track --rounds 4 --sizes 384 256 192
bench_step.py --family siamdw --batch 64 --only time --threads 16 --rounds 5 --steps 8 --torch-compile default
bench_pair.py --without-few --seconds 0.03 --queue 20
bench_batches.py --networks dstfc --batches 1 16 64 128 256 --apart 16 64 --targets 16 --rounds 2
bench_parallel.py --networks siamfc --batch 32 --rounds 20
bench_search.py --family siamfc-alexnet --batch 32 --steps 10 --search 60
bench_xcorr.py --only depthwise --case level, --seconds 0.05
LINES
  # It has stores of its own, since it is the time of compiling anew that it measures.
  [[ -z ${TEACHER:-} || -z ${PACKS:-} ]] || cat <<LINES
bench_start.py --beside --xla_gpu_autotune_level=0 distill siamfc_dst_short --teacher $TEACHER --workdir WORKDIR --data.sources packed:$PACKS --optim.epochs 1 --optim.pairs_per_epoch 64
LINES
}

if [[ -n ${LIST:-} ]]; then
  warm
  measured
  exit
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
export JAX_COMPILATION_CACHE_DIR=$out/programs JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
export TORCHINDUCTOR_CACHE_DIR=$out/inductor

number=0
while IFS= read -r line; do
  number=$((number + 1))
  # shellcheck disable=SC2086
  timeout 200 "$python" scripts/$line >"$out/compiled-$number.log" 2>&1 </dev/null &
done < <(warm)
wait
grep -hE "relative|parity" "$out"/compiled-*.log

failed=0 number=0
while IFS= read -r line; do
  number=$((number + 1))
  echo "== $line"
  # shellcheck disable=SC2086
  "$python" scripts/$line </dev/null 2>&1 | tee "$out/measured-$number.log" \
    || { failed=$((failed + 1)); echo "this command failed; the others go on"; }
done < <(measured)
echo "$failed of $number commands failed; logs: $out"
((failed == 0))

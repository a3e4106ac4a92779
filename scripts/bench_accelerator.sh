#!/usr/bin/env bash
# Measures on one accelerator what has figures in docs/results.md, beside PyTorch:
#
#   scripts/bench_accelerator.sh runs/accelerator
#   LIST=1 scripts/bench_accelerator.sh      # prints the commands, runs none
#
# Compiling takes most of the time, so all programs are compiled first, JOBS at a time
# (3), into one store; then the benchmarks run one after another, each alone, and take
# their programs from there. The output of each command is kept in the folder as a log.
# PYTHON names the interpreter, which needs torch. TEACHER, a bundle of SiamFC, and
# PACKS, packed training data of siamfc_dst_short, add the start of a training.
# The script ends with an error if a command did.
set -uo pipefail
out=$(realpath -m "${1:-runs/accelerator}")
TEACHER=${TEACHER:+$(realpath -m "$TEACHER")} PACKS=${PACKS:+$(realpath -m "$PACKS")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python3}

# Parity with PyTorch and sizes of programs are told here, times below.
warm() {
  local ostrack="bench_ostrack.py --step --warm --steps 1"
  local dlf="bench_step.py --family siamdw --threads 16"
  cat <<LINES
bench_ostrack.py --parity --sizes 384 256 --parity-batch 2
$ostrack --precision bfloat16 --attention auto cudnn --sides here
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
bench_ostrack.py --step --rounds 4 --steps 8 --precision bfloat16 --attention auto cudnn
bench_ostrack.py --step --rounds 4 --steps 6 --precision full
bench_ostrack.py --track --rounds 4 --sizes 384 256 192
bench_step.py --family siamdw --batch 64 --only time --threads 16 --rounds 5 --steps 8 --torch-compile default
bench_pair.py --without-few --sides 5 17 21 24 --seconds 0.03 --queue 20
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
  echo
  measured
  exit
fi
mkdir -p "$out"
export JAX_COMPILATION_CACHE_DIR=$out/programs JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
export TORCHINDUCTOR_CACHE_DIR=$out/inductor

# A command that fails leaves a mark beside its log, and the others go on.
compile() { # NUMBER LINE
  # shellcheck disable=SC2086
  timeout 600 "$python" scripts/$2 >"$out/compiled-$1.log" 2>&1 </dev/null \
    || touch "$out/compiled-$1.failed"
}

rm -f "$out"/*.failed
number=0
while IFS= read -r line; do
  number=$((number + 1))
  while (($(jobs -rp | wc -l) >= ${JOBS:-3})); do wait -n; done
  compile "$number" "$line" &
done < <(warm)
wait
number=0
while IFS= read -r line; do
  number=$((number + 1))
  [[ $line != *--parity* && $line != *--only\ check* && ! -e $out/compiled-$number.failed ]] \
    || { echo "== $line"; cat "$out/compiled-$number.log"; }
done < <(warm)

number=0
while IFS= read -r line; do
  number=$((number + 1))
  echo "== $line"
  # shellcheck disable=SC2086
  "$python" scripts/$line </dev/null 2>&1 | tee "$out/measured-$number.log" \
    || touch "$out/measured-$number.failed"
done < <(measured)
failed=$(find "$out" -maxdepth 1 -name '*.failed' | wc -l)
echo "$failed commands failed; logs: $out"
((failed == 0))

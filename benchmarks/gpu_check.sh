#!/bin/bash
# Everything that needs a GPU, in one call of at most nine minutes:  bash benchmarks/gpu_check.sh [PYTHON]
#
# PYTHON is one with the dependencies and a CUDA build of torch (default: python3); nothing is installed. In turn: fast
# paths against their references, a run resumed in the middle, the speeds of `make bench-gpu`, and, if TEXTSEQ_DATA has
# the corpus, the minutes until tinyshakespeare's validation loss is below 1.4697 nats per character. Each part has its
# seconds and goes on without the others; the script ends with 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 2
python=${1:-python3}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 TEXTSEQ_HOME=${TEXTSEQ_HOME:-$(mktemp -d)}
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || {
  echo "gpu_check: expected a Python whose torch sees a GPU, got $python; try: bash benchmarks/gpu_check.sh PYTHON" >&2
  exit 2
}
failed=()

# part SECONDS NAME COMMAND...
part() {
  local seconds=$1 name=$2
  shift 2
  echo "== $name"
  timeout --signal INT --kill-after 10 "$seconds" "$@" || failed+=("$name (exit $?)")
}

part 150 "fast paths and their references" "$python" benchmarks/gpu_agreement.py --device cuda
part 210 "speeds" "$python" benchmarks/bench.py gpu --dry
if [ -n "${TEXTSEQ_DATA:-}" ]; then
  part 170 "tinyshakespeare to 1.4697" "$python" -m textseq train --recipe tinyshakespeare --name gpu-check --overwrite \
    --device cuda --max-minutes 2 --evaluate-every 250
  "$python" - "$TEXTSEQ_HOME/runs/gpu-check/log.jsonl" <<'END' || failed+=("tinyshakespeare is not below 1.4697")
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
measured = [row for row in rows if "validation_nats_per_token" in row]
reached = next((row["minutes"] for row in measured if row["validation_nats_per_token"] < 1.4697), None)
best = min((row["validation_nats_per_token"] for row in measured), default=float("nan"))
print(f"below 1.4697 after {reached} minutes; best {best:.4f} on the text that is measured while training")
sys.exit(reached is None)
END
else
  echo "TEXTSEQ_DATA names no folder of corpora: tinyshakespeare is left out"
fi
[ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
echo "all parts passed"

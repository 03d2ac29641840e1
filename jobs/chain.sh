#!/bin/bash
# A run that is longer than a job may be, on a site that does not let jobs requeue themselves: N jobs
# by train.sbatch in one run directory, each of which waits for the one before and goes on from its
# checkpoint. Elsewhere train.sbatch alone does the same with one job.
#
#   jobs/chain.sh N [options] RUN.toml [key=value ...]
#   jobs/chain.sh 5 --nodes 4 --time 12:00:00 my.toml mode.bound=5 run.directory=runs/long
#
# To be run where jobs are submitted, with the options of `python -m mpitrain submit`; prints the
# numbers of the jobs. The run directory is runs/NAME-DATE, or run.directory=... among the words.
# `python -m mpitrain status RUNDIR` says how the chain stands.
#
# A link that stopped for the next one has exit code 3. Links that are left when the run is done end
# at once; so do those behind a link that gave up for good (a mistake, a failure that would come
# again, scancel), and they fail. `scancel` with all the numbers ends the chain.

say() { echo "mpitrain: $*" >&2; }

number=${1:-}
if ! [[ $number =~ ^[1-9][0-9]{0,3}$ ]]; then
    say "error: how many jobs? $0 N [options of mpitrain submit] RUN.toml [key=value ...]"
    exit 2
fi
shift

jobs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=jobs/site.sh
if ! . "$jobs/site.sh"; then
    say "error: $jobs/site.sh failed, see above"
    exit 2
fi
set +e -u # whatever that file has set; modules and environments do not stand -u

# --- one run directory for all
directory=
name=run
for word in "$@"; do
    case $word in
        run.directory=*) directory=${word#run.directory=} ;;
        *=*) ;;
        *.toml) name=$(basename "$word" .toml) ;;
    esac
done
[ -n "$directory" ] || set -- "$@" "run.directory=runs/$name-$(date +%Y%m%d-%H%M%S)"

# --- each link knows the one before, and leaves going on to the next one; Slurm must not requeue it
# either, so that a lost node ends it
export MPITRAIN_JOBS=$jobs MPITRAIN_NEVER_REQUEUE=yes MPITRAIN_AFTER=
for ((link = 1; link <= number; link++)); do
    if ! job=$("${INSIDE[@]}" "$PYTHON" -m mpitrain submit "$@" --sbatch=--no-requeue \
        ${MPITRAIN_AFTER:+--after "$MPITRAIN_AFTER"}); then
        say "error: only $((link - 1)) of $number jobs were submitted"
        exit 2
    fi
    echo "$job"
    MPITRAIN_AFTER=$job
done

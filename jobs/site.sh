# shellcheck shell=bash disable=SC2034
# The one file that knows this site. Every template reads it, on the compute nodes, and so does
# `python -m mpitrain submit`, where jobs are submitted. Change it here, once.

# --- Where jobs go. sbatch takes these from its environment, where no option says otherwise:
# `submit` and chain.sh see to that; for plain sbatch: . jobs/site.sh; sbatch jobs/train.sbatch ...
#export SBATCH_PARTITION=main
#export SBATCH_ACCOUNT=project

# --- Software: modules, and the Python of the environment that mpitrain is installed in. With
# "|| return" nothing is submitted or started where there are no such modules.
#module load openmpi cuda || return
PYTHON=${MPITRAIN_PYTHON:-.venv/bin/python}
# Words in front of it, for a container: INSIDE=(apptainer exec --nv mpitrain.sif)
INSIDE=()

# --- How the ranks are started: by srun, or by the MPI's own launcher (mpirun).
LAUNCHER=${MPITRAIN_LAUNCHER:-srun}
# What srun must speak: pmix for Open MPI, pmi2 for MPICH; "auto" looks at the environment's MPI.
# With the wrong one each rank is a job of its own, which mpitrain refuses.
SRUN_MPI=${MPITRAIN_SRUN_MPI:-auto}
# For srun. With --kill-on-bad-exit one dead rank ends the step at once; without it, and MPI by
# pmi2, the others wait for it until mode.limit_s. Binding to cores is the cluster's default in
# most places; --cpu-bind=cores asks for it.
SRUN_OPTIONS=(--kill-on-bad-exit=1)

# --- Threads. BLAS has one per rank, whatever --cpus-per-task is (the others serve the progress
# thread and the writing of checkpoints); the bits of a run depend on their number.
#export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

# --- How often a run may be requeued after a time limit or a signal. Preemptions and lost nodes
# are not counted, and three lives in a row that get nowhere end the chain anyway.
MOST_REQUEUES=${MPITRAIN_MOST_REQUEUES:-50}

"""What is asked of ``submit``, and what follows from it before Slurm is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mpitrain.batch.header import Option, limit_s, num_ranks, option_of, options_in, signal_lead_s
from mpitrain.config import Config
from mpitrain.core.console import counted
from mpitrain.core.errors import UserError
from mpitrain.slurm import is_job_id

MOST = 1_000_000  # of nodes, ranks and the like
_REFUSED = {
    "--array": "each of its jobs would train in the same run directory",
    "--chdir": "submit from that folder, as paths in the run file start there",
    "--wrap": "the script is the template's",
    **dict.fromkeys(
        ("--parsable", "--quiet", "--test-only", "--wait", "--help", "--usage", "--version"),
        "submit reads what sbatch prints",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks for; None and empty leave it to the template or the site.

    Attributes:
        nodes: of the job.
        ranks_per_node: ranks on each.
        cpus_per_rank: cores of each rank.
        gpus_per_rank: GPUs of each rank.
        time: limit, as sbatch takes it.
        partition: to run in.
        account: to charge.
        name: of the job, and first part of the run directory's default name.
        after: job to wait for.
        sbatch: more options, one a word.
        at_most: requeues that are allowed.
    """

    nodes: int | None = None
    ranks_per_node: int | None = None
    cpus_per_rank: int | None = None
    gpus_per_rank: int | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    name: str | None = None
    after: str | None = None
    sbatch: Sequence[str] = ()
    at_most: int | None = None

    def options(self) -> list[Option]:
        """Return what is asked of sbatch.

        Raises:
            UserError: nonsense.
        """
        return list(self._options())

    def _options(self) -> Iterator[Option]:
        for flag, name, number in (
            ("--nodes", "--nodes", self.nodes),
            ("--ranks-per-node", "--ntasks-per-node", self.ranks_per_node),
            ("--cpus-per-rank", "--cpus-per-task", self.cpus_per_rank),
            ("--gpus-per-rank", "--gpus-per-task", self.gpus_per_rank),
        ):
            if number is not None:
                _check(1 <= number <= MOST, flag, f"must be between 1 and {MOST}", number)
                yield Option(name, str(number))
        if self.time is not None:
            _check(
                bool(limit_s(self.time)),
                "--time",
                "must be minutes, [hours:]minutes:seconds or days-hours[:minutes[:seconds]]",
                self.time,
            )
            yield Option("--time", self.time)
        for flag, text in (("--partition", self.partition), ("--account", self.account)):
            if text is not None:
                _check(text.isprintable() and bool(text.strip()), flag, "must be a name", text)
                yield Option(flag, text)
        if self.after is not None:
            _check(is_job_id(self.after), "--after", "must be the number of a job", self.after)
            yield Option("--dependency", f"afterany:{self.after}")
        for text in self.sbatch:
            option = option_of(text)
            if option.name in _REFUSED:
                message = f"--sbatch must not bring {option.name}: {_REFUSED[option.name]}"
                raise UserError(message)
            yield option

    def name_of(self, config: Config) -> str:
        """Return the name of the job: that of the run, where none is given.

        Raises:
            UserError: it can be none.
        """
        name = config.run.name if self.name is None else self.name
        is_name = bool(name.strip(" .")) and "/" not in name and name.isprintable()
        _check(is_name and len(name) <= 200, "--name", "must be printable and without /", name)
        return name


def described(script: str, asked: Asked, config: Config, environ: Mapping[str, str]) -> str:
    """Return what a job asks for, for people, from its finished script; check that it is possible.

    Raises:
        UserError: it is not.
    """
    options = options_in(script)
    if asked.gpus_per_rank is not None and config.device.kind == "cpu":
        message = (
            f"--gpus-per-rank {asked.gpus_per_rank}, but device.kind is cpu: no rank would use "
            "one; leave one of the two out"
        )
        raise UserError(message)
    seconds, lead_s = limit_s(options.get("--time", "")), signal_lead_s(options)
    if seconds is not None and seconds <= lead_s:
        message = (
            f"--time {options['--time']} leaves no time to train: the signal to stop comes "
            f"{lead_s:g} s before; give more time, or --sbatch=--signal=B:USR1@SECONDS"
        )
        raise UserError(message)
    nodes, ranks = num_ranks(options)
    said = environ.get("MPITRAIN_RANKS", "")
    ranks = int(said) if said.isdecimal() else ranks
    of_nodes = counted(int(nodes), "node") if nodes.isdecimal() else f"{nodes} nodes"
    of_ranks = "as many ranks as Slurm has tasks" if ranks is None else counted(ranks, "rank")
    return f"{of_nodes}, {of_ranks}"


def _check(is_good: bool, flag: str, rule: str, got: object) -> None:
    if not is_good:
        message = f"{flag} {rule}, got {str(got)[:80]!r}"
        raise UserError(message)

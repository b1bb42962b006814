"""history: where the work went, who did it, and which files change often and are hard to change."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from podium.checkup import churn, hotspots
from podium.checkup.context import Context, Json, number, whole
from podium.checkup.output import Output
from podium.checkup.part import Deadline, begin
from podium.checkup.repository import Repository
from podium.checkup.survey import is_partial, moment
from podium.checkup.text import clean, display, plural

YEAR = 365 * 86_400
_MONTHS = 24
_AUTHORS = 25


@dataclass(slots=True)
class _Activity:
    """Commits that are no merges, by author and by month."""

    since: int
    commits: int = 0
    recent: int = 0
    merges: int = 0
    first: int = 0
    last: int = 0
    authors: Counter[str] = field(default_factory=Counter[str])
    recent_authors: Counter[str] = field(default_factory=Counter[str])
    names: dict[str, str] = field(default_factory=dict[str, str])
    latest: dict[str, int] = field(default_factory=dict[str, int])
    months: Counter[str] = field(default_factory=Counter[str])
    month_authors: defaultdict[str, set[str]] = field(
        default_factory=lambda: defaultdict[str, set[str]](set)
    )

    def add(self, when: int, email: str, name: str) -> None:
        author = email.lower() or name
        self.commits += 1
        self.first = min(self.first or when, when)
        self.last = max(self.last, when)
        self.authors[author] += 1
        if author not in self.names:  # commits come newest first: keep the latest spelling
            self.names[author] = clean(name) or "(no name)"
        self.latest[author] = max(self.latest.get(author, 0), when)
        month = (moment(when) or "unknown")[:7]
        self.months[month] += 1
        self.month_authors[month].add(author)
        if when >= self.since:
            self.recent += 1
            self.recent_authors[author] += 1


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Read the history of the commit that is looked at.

    ``input``: ``repo``, ``head``, ``now`` (seconds since 1970, for the last 12 months),
    ``seconds`` (default 60), ``max_commits`` (default 200,000). ``details``: ``hot_spots``,
    ``most_changed``, ``authors``, ``areas``, ``months``, ``years``.
    """
    repository, options = begin(input, ctx)
    output = Output()
    if repository.head is None:
        output.summary = {"commits": 0, "authors": 0}
        output.notes.append("There is no commit yet, so there is no history to look at.")
        ctx.progress(1.0, "no history")
        return output.as_json()
    now = whole(options.get("now")) or int(time.time())
    deadline = Deadline(number(options.get("seconds"), 60))
    limit = whole(options.get("max_commits"), 200_000)
    ctx.progress(0.02, "reading who committed when")
    activity = _activity(repository, now - YEAR, limit, deadline, output)
    changes = churn.read(repository, now - YEAR, limit, deadline, ctx, activity.commits)
    _say_what_was_cut(changes, activity, output)
    if not changes.counted:
        _say_what_is_missing(repository, output)
    ctx.progress(0.75, "measuring the files that change most")
    hotspots.describe(repository, changes, deadline, ctx, output)
    _describe(activity, changes, now, output)
    _judge(activity, now, output)
    ctx.progress(1.0, f"{plural(activity.commits, 'commit')} read")
    return output.as_json()


def _activity(
    repository: Repository, since: int, limit: int, deadline: Deadline, output: Output
) -> _Activity:
    activity = _Activity(since)
    commits = repository.git.stream(
        "rev-list",
        "--no-commit-header",
        f"--max-count={limit}",
        "--format=%ct%x00%P%x00%aE%x00%aN",
        str(repository.head),
        separator=b"\n",
        seconds=deadline.left(),
    )
    for record in commits:
        when, parents, email, name = record.split(b"\0", 3)
        if b" " in parents:
            activity.merges += 1
        else:
            activity.add(
                churn.seconds(when),
                email.decode("utf-8", "replace"),
                name.decode("utf-8", "replace"),
            )
    if activity.commits + activity.merges >= limit:
        output.cut("history", f"only the latest {limit:,} commits were read")
    return activity


def _say_what_was_cut(changes: churn.Changes, activity: _Activity, output: Output) -> None:
    if not changes.complete:
        back_to = moment(changes.oldest) or "an unknown day"
        output.cut(
            "changes of files",
            f"time ran out after {changes.commits:,} of {activity.commits:,} commits; "
            f"figures per file go back to {back_to}",
        )
    if changes.sweeping:
        output.notes.append(
            f"{plural(changes.sweeping, 'commit')} that changed more than {churn.SWEEPING} files "
            "at once (imports, moves, reformatting) do not count towards hot spots."
        )


def _say_what_is_missing(repository: Repository, output: Output) -> None:
    missing = repository.tree().missing
    such_as = f"such as that of {display(missing[0].path)}" if missing else "of earlier versions"
    output.cut(
        "lines added and deleted",
        f"contents of files cannot be read, {such_as}; 'git fsck' lists them, and a clone without "
        "--filter has them. A file that was changed while it was renamed counts as a new one",
    )
    if not missing and not is_partial(repository):  # else the survey says it
        output.findings.append(
            {
                "severity": "high",
                "kind": "repository_damaged",
                "title": "The repository is damaged: contents of earlier versions cannot be read",
                "detail": "'git fsck' says what is missing; fetch it or clone the repository anew",
            }
        )


def _describe(activity: _Activity, changes: churn.Changes, now: int, output: Output) -> None:
    output.summary = {
        "commits": activity.commits + activity.merges,
        "merges": activity.merges,
        "commits_12_months": activity.recent,
        "authors": len(activity.authors),
        "authors_12_months": len(activity.recent_authors),
        "bus_factor": bus_factor(activity.authors),
        "bus_factor_12_months": bus_factor(activity.recent_authors),
        "first_commit": moment(activity.first),
        "last_commit": moment(activity.last),
        "lines_added_12_months": changes.added if changes.counted else None,
        "lines_deleted_12_months": changes.deleted if changes.counted else None,
    }
    output.details["authors"] = _authors(activity)
    output.details["months"] = _months(activity, now)
    years: Counter[str] = Counter()
    for month, count in activity.months.items():
        years[month[:4]] += count
    output.details["years"] = [
        {"year": year, "commits": count} for year, count in sorted(years.items())
    ]


def bus_factor(authors: Counter[str]) -> int:
    """The fewest authors who together made more than half of the commits."""
    total, reached = sum(authors.values()), 0
    for place, (_, count) in enumerate(authors.most_common(), start=1):
        reached += count
        if reached * 2 > total:
            return place
    return 0


def _authors(activity: _Activity) -> list[Json]:
    """The authors with most commits, of the last 12 months first. Addresses are not shown."""
    order = sorted(
        activity.authors,
        key=lambda author: (-activity.recent_authors[author], -activity.authors[author]),
    )
    return [
        {
            "name": activity.names[author],
            "commits": activity.authors[author],
            "commits_12_months": activity.recent_authors[author],
            "share": round(activity.authors[author] / activity.commits, 3),
            "last_commit": moment(activity.latest[author]),
        }
        for author in order[:_AUTHORS]
    ]


def _months(activity: _Activity, now: int) -> list[Json]:
    today = datetime.fromtimestamp(now, UTC)
    months: list[Json] = []
    for back in range(_MONTHS - 1, -1, -1):
        index = today.year * 12 + today.month - 1 - back
        name = f"{index // 12:04d}-{index % 12 + 1:02d}"
        authors = len(activity.month_authors[name])
        months.append({"month": name, "commits": activity.months[name], "authors": authors})
    return months


def _judge(activity: _Activity, now: int, output: Output) -> None:
    if activity.commits and not activity.recent:
        output.findings.append(
            {
                "severity": "info",
                "kind": "dormant",
                "title": "Nothing was committed in the last 12 months",
                "detail": f"the last commit is of {moment(activity.last)}",
            }
        )
    if activity.recent >= 20 and bus_factor(activity.recent_authors) == 1:
        author, count = activity.recent_authors.most_common(1)[0]
        share = count / activity.recent
        output.findings.append(
            {
                "severity": "medium",
                "kind": "bus_factor",
                "title": f"One author made {share:.0%} of the commits of the last 12 months",
                "detail": f"{activity.names[author]}: {count:,} of {activity.recent:,}",
            }
        )
    if activity.last > now + 86_400:
        output.notes.append(
            "Some commits carry a time in the future; figures by month follow what they say."
        )

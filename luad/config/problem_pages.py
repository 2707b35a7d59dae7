"""A page for each problem code: what it means, and what to write. `luad help LU102` and the docs show it.

Room rule: words only. The text of a finding names the value; these pages say the rule.
"""

from __future__ import annotations

from textwrap import fill, indent
from typing import Final

SITE: Final = "https://github.com/luad/luad/blob/main/docs/reference/problems.md"

_WIDTH: Final = 79

FIXABLE: Final = frozenset(("LU004", "LU102", "LU105"))
"""The codes of which `luad check --fix` mends some findings; each finding says whether it is one."""

PAGES: Final[dict[str, str]] = {
    "LU001": "The file is not YAML at this place. Look at the quotes, brackets and the indent of the line.",
    "LU002": "A key stands twice in one mapping, and only one of the two would count. Delete one.",
    "LU003": "Anchors, aliases and tags (`&a`, `*a`, `!tag`) are not used in luad's files. Write the value itself, or "
    "quote the text.",
    "LU004": 'A cron expression that begins with `*` must be quoted, because YAML reads `*` as an alias: `expression: "*/15 '
    '* * * *"`.',
    "LU005": "The file holds a character or an encoding that YAML or luad does not take. Save it as UTF-8, without "
    "control characters.",
    "LU006": "YAML reads this value as another type than its key takes: `010`, `9:30` or `yes`. Quote it, or write it "
    "as the help says.",
    "LU007": "A limit of luad is passed: the size, the depth, the number of keys, of jobs or of problems.",
    "LU008": "A document must be a mapping of keys. A line `---` stands between two jobs of one file.",
    "LU030": "This is not a regular file. Put a file there.",
    "LU031": "The file belongs to another user than root and luad's own, who could run code as luad. Change its owner.",
    "LU032": "Others may write this file, and so run code as luad. Take the permission away with the `chmod` in the help.",
    "LU033": "The folder belongs to another user than root and luad's own. Change its owner.",
    "LU034": "Others may write into this folder. Take the permission away with the `chmod` in the help.",
    "LU035": "A link leads out of its job folder. Copy the file, or name the folder it stands in as a job folder.",
    "LU036": "The file cannot be read. The message has the reason of the system.",
    "LU037": "The file is larger than `max_file_size`. Split it, or raise the setting.",
    "LU038": "A job folder does not exist. luad notices it as soon as it is made.",
    "LU039": "A job folder is empty and on another file system than before. Mount it again, or run `luad reload`.",
    "LU040": "An access list (`getfacl`) lets another user write this file. Take the entry away with `setfacl -x`.",
    "LU041": "An access list (`getfacl`) lets another user write into this folder. Take the entry away with `setfacl -x`.",
    "LU042": "A link on the way belongs to another user, who could turn it elsewhere. Change its owner.",
    "LU101": "A key that is required is missing. Add the line in the help.",
    "LU102": "luad does not know this key here. It is misspelt, or belongs to another place or type. With one near "
    "key, `luad check --fix` writes it.",
    "LU103": "The value has another type than the key takes, such as text for a number.",
    "LU104": "The value has the right type, and is not one that the key takes.",
    "LU105": "The key is the word of another scheduler or spelling. The help names luad's; where the value stays as it "
    "is, `luad check --fix` writes it.",
    "LU106": "The key has no value. Write one, or delete the line.",
    "LU107": "Two keys exclude each other. Keep one.",
    "LU110": "The job's `metadata` does not obey the JSON Schema that its handler declares with `@luad.params`. Such a run "
    "fails before the handler is called.",
    "LU111": "A handler declares a JSON Schema with `@luad.params` that is not a JSON Schema. Mend it in the handler's "
    "module; references to URLs are not followed.",
    "LU112": "The whole file is another program's: a CronJob of Kubernetes, a workflow of GitHub Actions, a crontab. "
    "The help has the luad job that it would be.",
    "LU201": "A field of a cron expression cannot be read, or holds a value out of its range. `luad explain` shows what a line means.",
    "LU202": "An interval is at least one second.",
    "LU203": "The cron expression is well written and names no date: 31 February, or a date that is never on that weekday.",
    "LU204": "A cron expression has five fields, or six with the seconds first, and nothing else: no time zone, user, "
    "command or year.",
    "LU205": "There is no such time zone. Write an IANA name such as `Europe/London`.",
    "LU206": "This is not a date and time, or it does not say which instant it is. Write an offset or `Z`, or add `timezone`.",
    "LU207": "`jitter` must be below the distance to the next occurrence.",
    "LU301": "The module of the handler has no such function.",
    "LU302": "The module of the handler cannot be imported. The message has the exception and the line.",
    "LU303": "The handler takes other arguments than one job. Parameters come in `job.metadata`.",
    "LU304": "This does not name a handler, or there is no such module: write `package.module:function`.",
    "LU305": "Importing the module of the handler takes too long. An import should only define things.",
    "LU306": "Another user may change the module of the handler, so luad does not import it. Run the command in the help.",
    "LU307": "A dynamic job names a handler that `dynamic.handlers` in luad.yaml does not allow.",
    "LU308": "A dynamic job of the store cannot be read. Delete it, or restore the database from a backup.",
    "LU310": "The module of the handler has the name of a module of Python or of luad's own libraries. Rename it.",
    "LU311": "A file of the handlers folder is never imported: its name is taken by Python or by luad's own libraries. Rename it.",
    "LU312": "A file of the handlers folder hides an installed package of the same name. Rename it, if that is not meant.",
    "LU315": "The program of a command is not found on the run's PATH. Write the whole path, or set `PATH` in `env`.",
    "LU401": "Two files name the same job. The one in force stays; the other file is ignored until one of the two is renamed.",
    "LU402": "A file and something made at run time have the same name. The message says which one is in force.",
    "LU403": "Two users have the same id. The one in force stays; the other file is ignored until one is renamed.",
    "LU404": "A job is for, or would alert, a user that does not exist. Add the user, or change the job.",
    "LU405": "A dynamic job is due more often than `dynamic.min_interval` allows.",
    "LU501": "The time of the job does not exist on one day of the coming year, because the clocks change. That day's run "
    "is at the first instant after the gap.",
    "LU502": "`execute_at` is in the past. The message says whether a new job still runs once.",
    "LU503": "A run may take longer than the distance to the next one, which would then be skipped.",
    "LU504": "The key has no effect beside the others. Delete it, or write what makes it act.",
    "LU505": "A value of `env`, or a parameter of a shipped handler, holds `$NAME`, `${NAME}` or a command. luad expands "
    "nothing, so the run gets these characters. Write the value, or name the variable in `pass_env` of luad.yaml. A text "
    "`command` is expanded by its shell.",
    "LU506": "The variable does nothing for this job. `PYTHON*`, `LD_*` and `MALLOC_*` are read when a process starts, "
    "and that of a run has started before `env` is set; they act on commands. `SHELL` chooses the shell of a text "
    "`command`. `MAILTO` and `CRON_TZ` are settings of cron. luad itself sets `LUAD_*`.",
    "LU507": "A `*` in the seconds or minutes makes a run each second or minute, and a field to its right names values. "
    "`* 2 * * *` runs 60 times; once is `0 2 * * *`. A range such as `* 8-18 * * *` is taken as meant.",
    "LU508": "Both day fields are set. As in cron the job runs when either matches: `0 9 13 * 5` is each 13th and each "
    "Friday. `0 9 * * MON#1` is the first Monday.",
    "LU509": "A step does not divide its cycle: `*/45` is at :00 and :45, with 45 and 15 minutes between. For a fixed "
    "distance write `type: interval`.",
    "LU510": "The clock of this zone never changes, though that of its place does: `EST` is an hour off in New York's summer. "
    "`Etc/GMT+5` is five hours behind UTC, with the sign turned round. Write the place.",
    "LU511": "A file in a job folder is not read: it stands in a subfolder, or its name does not end in `.yaml` or `.yml`.",
    "LU512": "The module of a job's handler is not there any more, so its next run will fail. The daemon looks every ten seconds.",
    "LU513": "The job has `timeout: none`, so a run that hangs is never ended. Only `luad check --strict` says so.",
    "LU520": "An interval is a distance in time: when a zone changes its clocks, a run 24 hours later is at another hour. For "
    "the same time of day, each day or each week, write the cron line that the finding names.",
    "LU601": "The channel is not of a known type, or is not a channel.",
    "LU602": "The address of a channel cannot be one.",
    "LU603": "Apprise does not know the service of this address.",
    "LU604": 'A reference to a secret is written as `"${VARIABLE}"`, `file:/path` or `credential:NAME`.',
    "LU605": "A secret stands in the file, where each reader of the file finds it. Write a reference.",
    "LU606": "Two channels of one user have the same name.",
    "LU607": "A user of the store cannot be read. Add the user again.",
}


EXAMPLES: Final[dict[str, tuple[str, str]]] = {
    "LU001": ("tags: [nightly, shop", "tags: [nightly, shop]"),
    "LU003": ("env: *common", "env: {LANG: C.UTF-8}"),
    "LU004": ("expression: */15 * * * *", 'expression: "*/15 * * * *"'),
    "LU006": ("env: {PORT: 8080}", 'env: {PORT: "8080"}'),
    "LU101": (
        'schedule: {expression: "0 9 * * *"}',
        'schedule: {type: cron, expression: "0 9 * * *"}',
    ),
    "LU102": ("timout: 5m", "timeout: 5m"),
    "LU103": ("retry: 3", "retry: {max_attempts: 3}"),
    "LU104": ("timeout: 1 hour", "timeout: 1h"),
    "LU105": (
        'schedule: {type: cron, cron: "0 9 * * *"}',
        'schedule: {type: cron, expression: "0 9 * * *"}',
    ),
    "LU106": ("timeout:", "timeout: 5m"),
    "LU107": (
        "schedule: {type: interval, every: 15m, seconds: 900}",
        "schedule: {type: interval, every: 15m}",
    ),
    "LU201": ('expression: "0 25 * * *"', 'expression: "0 1 * * *"'),
    "LU202": ("every: 0s", "every: 1s"),
    "LU203": ('expression: "0 9 31 2 *"', 'expression: "0 9 L 2 *"'),
    "LU204": ('expression: "0 9 * * * root"', 'expression: "0 9 * * *"'),
    "LU205": ("timezone: Europe/Londn", "timezone: Europe/London"),
    "LU206": ("execute_at: 2030-01-01T09:00:00", "execute_at: 2030-01-01T09:00:00Z"),
    "LU303": ("def run(job, region): ...", 'def run(job): region = job.metadata["region"]'),
    "LU304": ("handler: reports.daily", "handler: reports:daily"),
    "LU315": ("metadata: {command: backup}", "metadata: {command: /opt/shop/backup}"),
    "LU404": ("user: an", "user: ann"),
    "LU504": ("max_running: 3", "overlap: allow\nmax_running: 3"),
    "LU505": (
        'env: {PATH: "/opt/bin:$PATH"}',
        "env: {PATH: /opt/bin:/usr/local/bin:/usr/bin:/bin}",
    ),
    "LU507": ('expression: "* 2 * * *"', 'expression: "0 2 * * *"'),
    "LU508": ('expression: "0 9 1-7 * MON"', 'expression: "0 9 * * MON#1"'),
    "LU509": ('expression: "*/45 * * * *"', "schedule: {type: interval, every: 45m}"),
    "LU510": ("timezone: EST", "timezone: America/New_York"),
    "LU513": ("timeout: none", "timeout: 36h"),
    "LU604": ("url: $HOOK", 'url: "${HOOK}"'),
    "LU605": ("url: https://hooks.example.com/s3cret", 'url: "${HOOK}"'),
}
"""By code: what a file says, and what it should say."""


def url_of(code: str) -> str:
    """Return the address of the page of *code*."""
    return f"{SITE}#{code.lower()}"


def page_of(code: str, name: str) -> str:
    """Return the page of *code*, whose short name is *name*, as text."""
    by = (
        "Write what the help of the finding says, or mend it by hand; `luad check --fix` leaves it."
    )
    if code in FIXABLE:
        by = "`luad check --fix` mends it where only one key or quoting can be meant."
    about = PAGES.get(code, "The message says what is wrong.")
    texts = [f"{code} {name}", fill(about, _WIDTH)]
    if code in EXAMPLES:
        texts += [
            f"{word}:\n{indent(each, '    ')}"
            for word, each in zip(("Not", "But"), EXAMPLES[code], strict=True)
        ]
    texts += [fill(by, _WIDTH), url_of(code)]
    return "\n\n".join(texts)

"""A page for each problem code, with its meaning and its fix. `luad help LU102` and the docs show it.

Rule: texts only. The text of a finding names the value; these pages state the rule.
"""

from __future__ import annotations

from textwrap import fill, indent
from typing import Final

SITE: Final = "https://github.com/luad/luad/blob/main/docs/reference/problems.md"

_WIDTH: Final = 79

FIXABLE: Final = frozenset(("LU004", "LU102", "LU105"))
"""Codes with findings that `luad check --fix` can correct; each finding says so itself."""

PAGES: Final[dict[str, str]] = {
    "LU001": "The file is not valid YAML at this place. Check the quotes, the brackets and the indentation of the line.",
    "LU002": "A mapping has the same key twice, and only one of the two would count. Delete one.",
    "LU003": "Anchors, aliases and tags (`&a`, `*a`, `!tag`) are not allowed in luad's files. Write the value itself, or "
    "quote the text.",
    "LU004": 'A cron expression that begins with `*` must be quoted, because YAML reads `*` as an alias: `expression: "*/15 '
    '* * * *"`.',
    "LU005": "The file has a character or an encoding that YAML or luad does not accept. Save it as UTF-8, without "
    "control characters.",
    "LU006": "YAML reads this value as another type than its key accepts: `010`, `9:30` or `yes`. Quote the value, or write it "
    "as the help says.",
    "LU007": "The file exceeds a limit of luad: the size, the depth, or the number of keys, jobs or problems.",
    "LU008": "A document must be a mapping of keys. Write a line `---` between two jobs of one file.",
    "LU030": "This is not a regular file. Replace it with a file.",
    "LU031": "The file belongs to neither root nor luad's user, so its owner could run code as luad. Change its owner.",
    "LU032": "Other users may write this file, and so run code as luad. Remove the permission with the `chmod` in the help.",
    "LU033": "The folder belongs to neither root nor luad's user. Change its owner.",
    "LU034": "Other users may write into this folder. Remove the permission with the `chmod` in the help.",
    "LU035": "A link leads out of its job folder. Copy the file, or add the folder of the file as a job folder.",
    "LU036": "The file cannot be read. The message has the reason from the system.",
    "LU037": "The file is larger than `max_file_size`. Split it, or raise the setting.",
    "LU038": "A job folder does not exist. Make the folder; luad notices it at once.",
    "LU039": "A job folder is empty, and on another file system than before. Mount the folder again, or run `luad reload`.",
    "LU040": "An access list (`getfacl`) lets another user write this file. Remove the entry with `setfacl -x`.",
    "LU041": "An access list (`getfacl`) lets another user write into this folder. Remove the entry with `setfacl -x`.",
    "LU042": "A link on the path belongs to another user, who could change its target. Change the owner of the link.",
    "LU101": "A required key is missing. Add the line in the help.",
    "LU102": "luad does not know this key here. The key is misspelt, or belongs to another place or type. If exactly one key "
    "is similar, `luad check --fix` writes it.",
    "LU103": "The value has another type than the key accepts, such as text for a number.",
    "LU104": "The value has the right type, but the key does not accept it.",
    "LU105": "The key is the word of another scheduler, or another spelling. The help names luad's key. If the value can stay, "
    "`luad check --fix` writes the key.",
    "LU106": "The key has no value. Write a value, or delete the line.",
    "LU107": "Two keys exclude each other. Keep one.",
    "LU110": "The job's `metadata` does not match the JSON Schema that its handler declares with `@luad.params`. A run with it "
    "fails before luad calls the handler.",
    "LU111": "The argument of a handler's `@luad.params` is not a JSON Schema. Correct it in the handler's module. luad does "
    "not follow references to URLs.",
    "LU112": "The whole file belongs to another program: a CronJob of Kubernetes, a workflow of GitHub Actions, a crontab. "
    "The help has the same as a luad job.",
    "LU201": "luad cannot read a field of a cron expression, or its value is out of range. `luad explain` shows the meaning of an "
    "expression.",
    "LU202": "An interval is at least one second.",
    "LU203": "The cron expression is valid, but matches no date: 31 February, or a date that is never on that weekday.",
    "LU204": "A cron expression has five fields, or six with the seconds first, and nothing else: no time zone, user, "
    "command or year.",
    "LU205": "The time zone does not exist. Write an IANA name such as `Europe/London`.",
    "LU206": "This is not a date and time, or it does not name one instant. Add an offset, `Z`, or `timezone`.",
    "LU207": "`jitter` must be shorter than the distance to the next occurrence.",
    "LU208": "A job with `isolation: shared` has a key that only a process of its own can obey: `env`, `nice`, `limits`, "
    "or the handler `luad.handlers.shell`. Delete the key, or write `isolation: process`.",
    "LU209": "No worker serves the queue of the job, so its runs would wait for ever. Correct `queue`, or name the queue in "
    "`work` of luad.yaml.",
    "LU301": "The module of the handler does not have this function. `luad check` imports the module; "
    "the daemon only reads its file, and warns if no statement binds the name.",
    "LU302": "luad cannot import the module of the handler. The message has the exception and the line.",
    "LU303": "A handler takes one argument, the job, and this one takes others. Read parameters from `job.metadata`.",
    "LU304": "This is not the name of a handler, or the module does not exist. Write `package.module:function`.",
    "LU305": "The import of the handler's module takes too long. Let the module only define functions.",
    "LU306": "Another user may change the module of the handler, so luad does not import it. Run the command in the help.",
    "LU307": "A dynamic job names a handler that `dynamic.handlers` in luad.yaml does not allow.",
    "LU308": "luad cannot read a stored dynamic job. Delete the job, or restore the database from a backup.",
    "LU310": "The module of the handler has the name of a module of Python or of luad's own libraries. Rename the file.",
    "LU311": "luad never imports a file of the handlers folder whose name belongs to Python or to luad's own libraries. Rename "
    "the file.",
    "LU312": "A file of the handlers folder hides an installed package of the same name. Rename the file, unless you want that.",
    "LU315": "The run's `PATH` does not lead to the program of a command. Write the absolute path, or set `PATH` in `env`.",
    "LU401": "Two files declare the same job. The job in force stays. luad ignores the other file until one of the two is renamed.",
    "LU402": "A file and a job or user made at run time have the same name. The message says which one is in force.",
    "LU403": "Two users have the same id. The user in force stays. luad ignores the other file until one of the two is renamed.",
    "LU404": "A job names a user that does not exist, in `user` or in `alert`. Add the user, or change the job.",
    "LU405": "A dynamic job is due more often than `dynamic.min_interval` allows.",
    "LU501": "The time of the job does not exist on one day of the coming year, because the clocks change. On that day the job "
    "runs at the first instant after the gap.",
    "LU502": "`execute_at` is in the past. The message says whether a new job still runs once.",
    "LU503": "A run may take longer than the distance to the next one, which would then be skipped.",
    "LU504": "The key has no effect with the other keys. Delete it, or add the key that it needs.",
    "LU505": "A value of `env`, or a parameter of a shipped handler, holds `$NAME`, `${NAME}` or a command. luad expands "
    "nothing, so the run gets these characters. Write the value, or name the variable in `pass_env` of luad.yaml. The "
    "shell of a text `command` does expand them.",
    "LU506": "The variable has no effect for this job. A process reads `PYTHON*`, `LD_*` and `MALLOC_*` when it starts, "
    "and the process of a run starts before luad sets `env`; commands do get them. `SHELL` chooses the shell of a text "
    "`command`. `MAILTO` and `CRON_TZ` are settings of cron. luad itself sets `LUAD_*`.",
    "LU507": "A `*` in the seconds or minutes makes a run each second or minute, and a field to its right names values. "
    "`* 2 * * *` runs 60 times; `0 2 * * *` runs once. luad does not warn of a range such as `* 8-18 * * *`.",
    "LU508": "Both day fields are set. As in cron, the job runs when either matches: `0 9 13 * 5` is each 13th and each "
    "Friday. `0 9 * * MON#1` is the first Monday.",
    "LU509": "A step does not divide its cycle: `*/45` is at :00 and :45, with 45 and 15 minutes between. For a fixed "
    "distance write `type: interval`.",
    "LU510": "The clock of this zone never changes, but the clock of its place does: `EST` is an hour off in New York's summer. "
    "`Etc/GMT+5` is five hours behind UTC, because the sign is inverted. Write the place.",
    "LU511": "luad does not read a file of a job folder, because it is in a subfolder or its name does not end in `.yaml` or `.yml`.",
    "LU512": "The module of a job's handler has been deleted, so the next run will fail. The daemon checks every ten seconds.",
    "LU513": "The job has `timeout: none`, so luad never ends a run that hangs. Only `luad check --strict` reports this.",
    "LU514": "`luad.yaml` has changed since the daemon started. The daemon reads it once, at its start. Restart luad.",
    "LU520": "An interval is a distance in time: when a zone changes its clocks, a run 24 hours later is at another hour. For "
    "the same time of each day or week, write the cron expression that the finding names.",
    "LU601": "The value is not a channel, or has an unknown type.",
    "LU602": "The address of a channel is invalid.",
    "LU603": "Apprise does not know the service of this address. Correct the part before `://`.",
    "LU604": 'A reference to a secret is written as `"${VARIABLE}"`, `file:/path` or `credential:NAME`.',
    "LU605": "The file has a secret, which each reader of the file can see. Write a reference.",
    "LU606": "Two channels of one user have the same name. Rename one.",
    "LU607": "luad cannot read a stored user. Add the user again.",
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
    "LU209": ("queue: gpus", "queue: gpu"),
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
"""By code: an example with the mistake, and the same without it."""


def url_of(code: str) -> str:
    """Return the address of the page of *code*."""
    return f"{SITE}#{code.lower()}"


def page_of(code: str, name: str) -> str:
    """Return the page of *code*, whose short name is *name*, as text."""
    by = "Follow the help of the finding. `luad check --fix` does not correct it."
    if code in FIXABLE:
        by = "`luad check --fix` corrects it if only one correction is possible."
    about = PAGES.get(code, "The message says what is wrong.")
    texts = [f"{code} {name}", fill(about, _WIDTH)]
    if code in EXAMPLES:
        texts += [
            f"{word}:\n{indent(each, '    ')}"
            for word, each in zip(("Not", "But"), EXAMPLES[code], strict=True)
        ]
    texts += [fill(by, _WIDTH), url_of(code)]
    return "\n\n".join(texts)

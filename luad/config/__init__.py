"""Border translation: the bytes of job files to jobs and problems.

Room rule: bytes in, values out; opens no file but luad's own schemas. A person's mistake is a
`Problem`, never an exception. This module stays empty: whoever needs the YAML reader imports it
from `luad.config.jobs.job_file` or `luad.config.jobs.catalogue`; the command line mostly does not.
"""

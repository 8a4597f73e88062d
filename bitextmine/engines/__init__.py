"""Where tasks run.

`engine` says what a stage may ask for: a `Step` of tasks, and an `Engine` that runs it. `local`
runs tasks in this process, `devices` one process a device; `device_worker` is what such a
process does, `worker_signals` what Ctrl-C means to it.
"""

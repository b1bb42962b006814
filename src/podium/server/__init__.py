"""The processes of Podium: ``python -m podium.server COMMAND``.

| command | runs |
|---|---|
| ``up`` | all of a machine: the embedded servers, the API, workers |
| ``server`` | the API alone, on ``PODIUM_DATABASE_URL`` and ``PODIUM_VALKEY_URL`` |
| ``worker`` | one worker alone, on the same; without them on those of a running ``up`` |
| ``settings`` | prints the settings in force as JSON, or which of them a running ``up`` lacks |
| ``db`` | looks after the database: see ``podium.server.db`` |
| ``upgrade`` | moves an embedded cluster of an older PostgreSQL major to ours |

**Exit statuses** are those of ``exits.ExitStatus``.

**One ``up`` per data directory.** It holds a lock on ``run/up.lock``, in which its process id
stands, from its first moment to its last. ``run/server.json`` is there while the API can be used:
``{"pid", "url", "version", "started_at", "detached", "home", "workers", "idle_seconds",
"drain_seconds", "warning"}``; ``url`` is for this machine, ``warning`` says what other machines
lack to use it, or is null. Whoever finds that file takes it for true only while the lock is held.
``run/settings.json`` has a mark of each setting, no value, to compare others with (``in_force``).

**Stopping.** SIGTERM, SIGINT or SIGHUP stop it in order: workers drain, then the API, Valkey and
PostgreSQL end. A second signal lets workers hand back what they run at once. ``run/stopped.json``
then says how many tasks the workers handed back: ``{"pid", "handed_back"}``.

**Detached.** ``up --detached`` returns when the stack is ready, or with the reason why it is not.
It prints one JSON line: ``{"status": "started" | "running", ...server.json}``. When another one
is starting on the same directory it waits for that one. One that runs with another port or another
number of workers than are asked for is a refusal. Without ``--idle`` the line for a running one has
``not_in_force``: the names of the settings that are made here and that it has otherwise.

**Idle.** With ``--idle SECONDS``, or rather the setting ``idle_shutdown_seconds`` where it is made,
the API process asks ``podium.app.idle_for(app)`` (seconds since the last request, 0 while a task is
open or a schedule is to fire) and exits with ``ExitStatus.IDLE`` once that is enough. The
supervisor takes this as the order to stop everything, unless a client is just knocking. A detached
``up`` without ``--idle`` has one that runs stay: it sends SIGUSR1 until ``idle_seconds`` in
``server.json`` is null.

**Lifeline.** A child's standard input is one end of a socket pair. When its other end closes,
because the supervisor stopped, crashed or was killed, the child stops by itself within
``lifeline.GRACE_SECONDS``. Over the same socket a child that cannot start says why, and a worker
that stops how many tasks it handed back. The API is given the
supervisor's listening socket, so its restart keeps the port and refuses nobody.
"""

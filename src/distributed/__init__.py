"""Several processes that train together: who they are, how they are started and watched.

Not here: the gradients' sum (``src/crnn_for_train.py``), and which words a rank reads (``src/data/order.py``).

Why each file is there, and what would break without it. msrun of MindSpore 2.10 starts processes; told to wait for them
(``--join``) it ends with code 1 whatever a rank's code was, answers a failure and Ctrl-C by SIGKILL, which leaves no
time for a checkpoint, and lets the ranks run on when it gets SIGTERM.

* ``environment.py``: the variables of msrun, mpirun and rank tables, in one list. Left-over ones would make a process
  take itself for another rank.
* ``ranks.py``: what the ranks tell each other. Evaluation and resuming would need MindSpore's operators in their code,
  and a rank that died would be a stack trace in the others.
* ``communication.py``: the part of it that imports MindSpore. ``eval_onnx.py`` would need MindSpore without the
  division.
* ``launch.py``: one command for msrun, mpirun and rank tables, on one host or several. Users would have to write down
  the launcher's words themselves, and leave ``MS_*`` and ``RANK_*`` of the run before out of its environment.
* ``hosts.py``: which hosts and devices a run has, by environment variables or a rank table. msrun has to be
  told them as numbers, and a wrong or missing one would show up as a run that waits for ever.
* ``host_link.py``: launchers of several hosts notice each other's end. Without it the ranks of the others hang when the
  first host dies.
* ``rank_watch.py``: names the rank that failed first and shows the end of its log, ends the others, hands Ctrl-C and
  SIGTERM on, and leaves no process behind. msrun and mpirun do none of these.
* ``rank_process.py``: one rank's folder, log and share of the cores; tells its exit code, which msrun and mpirun keep
  to themselves, and ends the rank when the launcher was killed.
* ``processes.py``: which processes are left, and whether a number still means the same one; ``src/modelarts`` asks too.
* ``rank_table.py``: mistakes in a rank table with their place, before a device is asked to connect.
"""

"""Fine-tuning in Python: the programs' runs as a function and a result.

    running      fine_tune(data, output_dir=…, **settings) -> FineTuned
    rows         rows in memory -> files, and the task that they look like
    engine       a program with settings in place of flags
    isolation    the process keeps its flags, log and random numbers
    result       FineTuned: scores, report, predict, export

`bert_tf.fine_tune` and `bert_tf.FineTuned` are the way in.
"""

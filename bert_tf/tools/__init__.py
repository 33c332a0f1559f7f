"""Programs next to those at the top: python -m bert_tf.tools.NAME."""

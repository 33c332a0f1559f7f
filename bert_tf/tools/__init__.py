"""Programs beside the three at the top: python -m bert_tf.tools.NAME."""

"""Programs beside those at the top: python -m bert_tf.tools.NAME."""

"""Functions that AutoGraph leaves as they are written.

TensorFlow rewrites the source of all that a graph is made of, so that `if` and
`while` may depend on a tensor's value. That takes seconds at the start of a
program. Functions in which nothing depends on one need no rewriting.
"""

import tensorflow as tf

# A decorator of such functions. One that does depend on a value raises
# OperatorNotAllowedInGraphError.
as_written = tf.autograph.experimental.do_not_convert

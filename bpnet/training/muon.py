"""Muon: the momentum of a matrix, with all its singular values made about equal.

Keller Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/. The step's size follows
https://arxiv.org/abs/2502.16982: its root mean square is that of AdamW's, so that one learning rate
serves both.
"""

import math
from typing import Any

import tensorflow as tf

ITERATIONS = 5  # of Newton and Schulz
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5: the steepest at 0
LIKE_ADAMW = 0.2  # root mean square of AdamW's steps, as a part of the learning rate


def orthogonalise(kernel: Any) -> Any:
    """A convolution's kernel (h, w, C, F) as a matrix (h*w*C, F) with singular values near 1.

    They end between 0.7 and 1.2, which serves as well as 1.
    """
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x /= tf.norm(x) + 1e-7
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        squared = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * squared + c * tf.matmul(squared, squared), x)
    return tf.reshape(tf.transpose(x) if tall else x, kernel.shape)


def step_size(shape: Any) -> float:
    """What an orthogonal kernel (h, w, C, F) is multiplied by, besides the learning rate."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    return LIKE_ADAMW * math.sqrt(max(rows, columns))

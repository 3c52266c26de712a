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


def orthogonalise(kernel: Any, *, size: float = 1.0) -> Any:
    """A kernel (h, w, C, F) as a matrix (h*w*C, F) with singular values near ``size``.

    They end between 0.7 and 1.2 of it, which serves as well. All iterations are polynomials of one
    symmetric matrix, the kernel's products with itself on its shorter side, so that the kernel
    itself is multiplied twice only.
    """
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
    tall = matrix.shape[0] > matrix.shape[1]
    products = tf.matmul(matrix, matrix, transpose_a=tall, transpose_b=not tall)
    norm = tf.sqrt(tf.linalg.trace(products)) + 1e-7
    products /= tf.square(norm)
    a, b, c = COEFFICIENTS
    unit = tf.eye(products.shape[0])
    total = None
    for iteration in range(ITERATIONS):
        factor = a * unit + b * products + c * (products @ products)
        total = factor * (size / norm) if total is None else total @ factor
        if iteration < ITERATIONS - 1:
            products = factor @ products @ factor
    return tf.reshape(matrix @ total if tall else total @ matrix, kernel.shape)


def step_size(shape: Any) -> float:
    """What an orthogonal kernel (h, w, C, F) is multiplied by, besides the learning rate."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    return LIKE_ADAMW * math.sqrt(max(rows, columns))

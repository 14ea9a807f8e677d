"""A diagonal state-space model over a sequence, as matrix products over chunks of it."""

import jax
import jax.numpy as jnp

from ..._types import Array

CHUNK = 128  # more steps: longer products and fewer of them, but more operations


def chunked_state_space(
    state: Array, u: Array, log_decay: Array, b: Array, c: Array, d: Array
) -> tuple[Array, Array]:
    """``x_t = exp(log_decay) x_{t-1} + b u_t`` and ``y_t = 2 Re(sum_n c_n x_{t,n}) + d u_t``.

    Within a chunk of L steps, y is a convolution of u and what is left of the state before it: for
    each feature two matrices, ``[L, L]`` and ``[L, states]``. Only the states between chunks are
    computed one after the other, and no other state is stored.

    Args:
        state: The first state, ``[N, F, S]``, complex.
        u: The input, ``[T, N, F]``, real.
        log_decay: Logarithm of the factor of a state in one step, ``[F, S]``, complex.
        b: Factor of the input, ``[F, S]``, complex.
        c: Factor of the state in the output, ``[F, S]``, complex.
        d: Factor of the input in the output, ``[F]``, real.

    Returns:
        The last state and y, ``[T, N, F]``.

    Source: Dao, Gu, "Transformers are SSMs", 2024 (arXiv 2405.21060), section 6; here the matrices
    are convolutions, for the model does not change with time.
    """
    count = -(-len(u) // CHUNK)
    length = -(-len(u) // count)
    last = len(u) - (count - 1) * length
    u = jnp.pad(u, ((0, length - last), (0, 0), (0, 0))).reshape(count, length, *u.shape[1:])
    u = u.transpose(3, 1, 0, 2)  # [F, L, K, N]: one product for each feature
    steps = jnp.arange(length + 1).astype(log_decay.dtype)
    powers = jnp.exp(jnp.multiply.outer(log_decay, steps))  # [F, S, L + 1]
    kernel = 2 * jnp.einsum("fs,fsl->fl", b * c, powers[..., :-1]).real
    within = _lower_toeplitz(kernel.at[:, 0].add(d))  # [F, L, L], from step j to step i
    write = _parts(b[..., None] * powers[..., -2::-1], 1)  # [F, 2 S, L], from step j to the state
    read = _parts(2 * (c[..., None] * powers[..., 1:]).conj(), 1)  # from the state to step i

    def chunk(state, written):
        return powers[..., -1:] * state + _complex(written), state

    written = jnp.einsum("fsl,flkn->kfsn", write, u)
    at_last = written[-1]
    if last < length:  # the chunk has steps at its end that are no input
        at_last = jnp.einsum("fsl,fln->fsn", write[..., length - last :], u[:, :last, -1])
    at_last = _complex(at_last)
    state = state.transpose(1, 2, 0) + jnp.zeros_like(at_last)  # which varies as the input does
    before_last, before = jax.lax.scan(chunk, state, written[:-1])
    state = powers[..., last, None] * before_last + at_last
    before = _parts(jnp.concatenate([before, before_last[None]]), 2)
    y = jnp.einsum("fij,fjkn->fikn", within, u) + jnp.einsum("fsl,kfsn->flkn", read, before)
    y = y.transpose(2, 1, 3, 0).reshape(count * length, *y.shape[3:], len(y))
    return state.transpose(2, 0, 1), y[: (count - 1) * length + last]


def _lower_toeplitz(kernel: Array) -> Array:
    """``[F, L]`` to ``[F, L, L]``: entry i, j is ``kernel[i - j]``, and 0 above the diagonal."""
    n = kernel.shape[-1]
    around = jnp.concatenate([kernel[:, :1], jnp.zeros_like(kernel), kernel[:, :0:-1]], 1)  # 2 n
    rows = jnp.tile(around, (1, n))[:, : n * (2 * n - 1)]  # each row starts one entry earlier
    return rows.reshape(-1, n, 2 * n - 1)[..., :n]


def _parts(a: Array, axis: int) -> Array:
    """Real and imaginary parts, one after the other."""
    return jnp.concatenate([a.real, a.imag], axis)


def _complex(parts: Array) -> Array:
    return jax.lax.complex(*jnp.split(parts, 2, 1))

"""What every neuron shares: the call around its equations, and firing."""

import abc
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from .._pytree import Pytree
from .._types import Array, Param, Shape, Tree
from ..surrogate import Surrogate, spike


class Neuron(Pytree, abc.ABC):
    """A pure function ``(state, x) -> (state, spikes)`` together with its parameters.

    A model is a subclass with fields, ``init_state`` and ``step``; the call checks shapes, keeps
    dtypes and runs the equations. An instance is an immutable pytree: give new parameters with
    ``dataclasses.replace``, differentiate it with `jax.grad`, stack it with `jax.vmap`.

    Fields are numbers, or arrays that broadcast against one step of data ``[N, *]``: an array of
    shape ``[C]`` is one value per channel, features being the last axis.

    Arithmetic runs in the dtype of the state, at least float32; every leaf of the new state keeps
    the dtype it came in; the output has the dtype of ``x`` if that is floating, else float32.

    Example:
        >>> from typing import NamedTuple
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> class AdaptiveState(NamedTuple):
        ...     v: jax.Array
        ...     a: jax.Array
        >>> class Adaptive(js.Neuron):
        ...     tau: js.Param = js.field.greater_than(1.0, default=2.0)
        ...     step_size: js.Param = js.field.positive(default=0.5)
        ...     def init_state(self, shape, dtype=jnp.float32):
        ...         return AdaptiveState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
        ...     def step(self, state, x):
        ...         h = state.v + (x - state.v) / self.tau
        ...         s = js.surrogate.spike(h - 1 - state.a, js.surrogate.ATan())
        ...         return AdaptiveState(h * (1 - s), state.a / self.tau + self.step_size * s), s
        >>> neuron = Adaptive()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 3.2 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([1., 1., 0., 1., 0., 1.], dtype=float32)
    """

    @abc.abstractmethod
    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> Tree:
        """State at rest.

        Args:
            shape: Shape of one step of input, ``(N, *)``.
            dtype: Floating dtype of the state.
        """

    @abc.abstractmethod
    def step(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """The equations of one time step: ``(state, x) -> (state, spikes)``."""

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """Run one time step.

        Args:
            state: A state of ``init_state(x.shape)``, or the one that the last step returned.
            x: Input of one step, ``[N, *]``; integers and booleans are converted to float32.

        Returns:
            The new state, and the spikes in the shape of ``x``.

        Raises:
            TypeError: If the state is of another neuron, or ``x`` is complex.
            ValueError: If ``x`` has another shape than the state was built for, or a parameter does
                not broadcast into it.
        """
        name = type(self).__name__
        x, state = _real(name, "x", x), jax.tree.map(jnp.asarray, state)
        self._check(state, x.shape)
        floats = [a.dtype for a in jax.tree.leaves(state) if _is_float(a)]
        dtype = at_least_float32(floats)
        neuron, wide = jax.tree.map(lambda a: a.astype(dtype) if _is_float(a) else a, (self, state))
        new, out = neuron._run(wide, x.astype(dtype))
        new = jax.tree.map(lambda n, s: n if n.dtype == s.dtype else n.astype(s.dtype), new, state)
        return new, out.astype(output_dtype(x))

    def _check(self, state: Tree, shape: Shape) -> None:
        name = type(self).__name__
        want = jax.eval_shape(lambda: self.init_state(shape))
        if layout(state) == layout(want):
            for have, like in zip(jax.tree.leaves(state), jax.tree.leaves(want), strict=True):
                if _is_float(like) and not _is_float(have):
                    raise TypeError(
                        f"`{name}(state=...)` must be floating point, got {have.dtype}. "
                        f"Build it with `neuron.init_state({shape})`."
                    )
            return
        if layout(state)[0] != layout(want)[0]:
            got = "None" if state is None else type(state).__name__
            raise TypeError(
                f"`{name}(state=...)` must be a state of this neuron, {type(want).__name__}, "
                f"got {got}. Build it with `neuron.init_state({shape})`; "
                "in a module keep the neuron as an attribute, or in `Spiking`."
            )
        raise shape_mismatch(name, state, shape)

    def _run(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """Run ``step`` and see that it kept the shapes, which a parameter array may not widen."""
        name = type(self).__name__
        try:
            with jax.named_scope(name):
                result = self.step(state, x)
        except (TypeError, ValueError) as e:
            if wide := self._wider_than(x.shape):
                raise self._too_wide(wide, x.shape) from e
            raise
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"`{name}.step` must return a pair `(state, spikes)`, got {type(result).__name__}."
            )
        new, out = result
        if layout(new)[0] != layout(state)[0]:
            raise TypeError(
                f"`{name}.step` must return a state of the structure that it was given, "
                f"{jax.tree.structure(state)}, got {jax.tree.structure(new)}."
            )
        if jnp.shape(out) != x.shape or layout(new) != layout(state):
            if wide := self._wider_than(x.shape):
                raise self._too_wide(wide, x.shape)
            raise ValueError(
                f"`{name}.step` must keep the shapes of x, {x.shape}, and of the state, "
                f"{layout(state)[1]}, got {jnp.shape(out)} and {layout(new)[1]}."
            )
        return new, out

    def _wider_than(self, shape: Shape) -> dict[str, Shape]:
        """Parameter arrays that do not broadcast into ``shape``."""
        arrays = {
            jax.tree_util.keystr(path, simple=True, separator="."): jnp.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(self)
        }
        return {k: s for k, s in arrays.items() if not _broadcasts(s, shape)}

    def _too_wide(self, wide: dict[str, Shape], shape: Shape) -> ValueError:
        (field, got), *_ = wide.items()
        return ValueError(
            f"`{type(self).__name__}({field}=...)` must broadcast against x of shape {shape}, "
            f"got shape {got}. Give one value, or one a channel: shape {shape[-1:]}."
        )


class SequenceNeuron(Pytree, abc.ABC):
    """A pure function ``xs -> spikes`` of a whole sequence, together with its parameters.

    It has no state and no step: every output may depend on every input. A model is a subclass with
    fields and ``sequence``; the call checks the sequence and keeps dtypes. Arithmetic runs in the
    dtype of ``xs``, at least float32; the output has the dtype of ``xs`` if that is floating, else
    float32.

    In a network it is a layer as a neuron is, with its ``learned()`` fields as `flax.nnx.Param`;
    the network then runs sequences only.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> class Late(js.SequenceNeuron):
        ...     v_threshold: js.Param = 1.0
        ...     def sequence(self, xs):
        ...         surrogate = js.surrogate.ATan()
        ...         return js.surrogate.spike(jnp.cumsum(xs, 0) - self.v_threshold, surrogate)
        >>> Late(v_threshold=2.0)(jnp.ones((4, 1)))[:, 0]
        Array([0., 1., 1., 1.], dtype=float32)
    """

    @abc.abstractmethod
    def sequence(self, xs: Array) -> Array:
        """The equations: ``[T, N, *]`` to spikes of the same shape."""

    @property
    def length(self) -> int | None:
        """The number of time steps that it is made for; None if any."""
        return None

    def __call__(self, xs: Array, *step: Any) -> Array:
        """Run a sequence.

        Args:
            xs: Input, ``[T, N, *]``; integers and booleans are converted to float32.
            *step: Nothing; here to tell who calls ``neuron(state, x)`` that there is no step.

        Returns:
            The spikes, in the shape of ``xs``.

        Raises:
            TypeError: If ``xs`` is complex.
            ValueError: If it is called with a state and one step, there is no time axis, the
                number of time steps is another than that of the weights, or a parameter does not
                broadcast.
        """
        name = type(self).__name__
        if step:
            raise ValueError(
                f"`{name}(xs=...)` must be a whole sequence `[T, N, *]`, got a state and one step "
                f"of shape {jnp.shape(step[0])}: a {name} has no single step. "
                "Call `neuron(xs)`, in a network `net(state, x_seq)`."
            )
        xs = _real(name, "xs", xs)
        if not xs.ndim or len(xs) != (self.length or len(xs)) or not len(xs):
            want = f"{self.length} time steps" if self.length else "at least one time step"
            hint = " Its weights are made for that length." if self.length else ""
            raise ValueError(
                f"`{name}(xs=...)` must have {want} as axis 0, got shape {xs.shape}.{hint}"
            )
        dtype = jnp.promote_types(xs.dtype, jnp.float32) if _is_float(xs) else jnp.float32
        neuron = jax.tree.map(lambda a: a.astype(dtype) if _is_float(a) else a, self)
        with jax.named_scope(name):
            ys = neuron.sequence(xs.astype(dtype))
        if jnp.shape(ys) != xs.shape:
            raise ValueError(
                f"`{name}.sequence` must keep the shape of xs, {xs.shape}, got {jnp.shape(ys)}. "
                "A field may be wider than one step."
            )
        return ys.astype(xs.dtype if _is_float(xs) else jnp.float32)


def _real(name: str, argument: str, x: Any) -> Array:
    if isinstance(x, list | tuple):  # else a list of steps would be taken for a batch
        raise TypeError(
            f"`{name}({argument}=...)` must be an array, got a {type(x).__name__}. "
            f"Stack it: `jnp.stack({argument})`, time first."
        )
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(
            f"`{name}({argument}=...)` must be real, got {x.dtype}. Give its real part."
        )
    return x


def _broadcasts(shape: Shape, into: Shape) -> bool:
    pairs = zip(reversed(shape), reversed(into), strict=False)
    return len(shape) <= len(into) and all(a in (1, b) for a, b in pairs)


def shape_mismatch(name: str, state: Tree, shape: Tree) -> ValueError:
    """The error of an input of ``shape``, or of several, that meets a state built for another."""
    leaves = jax.tree.leaves(state)
    have = jnp.shape(leaves[0]) if leaves else state
    if isinstance(have, tuple) and have[1:] == shape:
        hint = "An axis is missing: a step is `[N, *]`, a sequence `[T, N, *]`."
    elif not isinstance(shape, tuple):
        hint = "Build it with `init_state` of the shapes of one step; time is axis 0, batch 1."
    elif shape[1:] == have:
        hint = "For a sequence `[T, N, *]` call `jaxspike.scan(neuron, state, xs)`."
    else:
        one = shape[1:] if isinstance(have, tuple) and len(shape) == len(have) + 1 else shape
        hint = f"A step of {one} needs a state of `init_state({one})`; time is axis 0, batch 1."
    return ValueError(
        f"`{name}(x=...)` must have the shape that the state was built for, "
        f"got {shape} for a state of {have}. {hint}"
    )


def layout(state: Tree) -> tuple[Any, list[Shape]]:
    """Structure and shapes of a state: what must agree between a state and its owner."""
    return jax.tree.structure(state), [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]


def at_least_float32(dtypes: list[Any]) -> Any:
    """The widest of some floating dtypes and float32."""
    return max([jnp.dtype(jnp.float32), *dtypes], key=lambda d: jnp.finfo(d).bits)


def output_dtype(x: Array) -> Any:
    """The dtype of what a neuron returns for ``x``: its own if floating, else float32."""
    return x.dtype if _is_float(x) else jnp.dtype(jnp.float32)


def _is_float(a: Any) -> bool:
    return hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)


def at_rest(v: Param | None, shape: Shape, dtype: Any, field: str = "v_reset") -> Array:
    """A membrane of the given shape at potential ``v``, that of ``field``; None is zero."""
    shape = check_shape("neuron", shape)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"`init_state(dtype=...)` must be floating point, got {jnp.dtype(dtype).name}. "
            "Use jnp.float32."
        )
    rest = jnp.asarray(0.0 if v is None else v, dtype)
    if not _broadcasts(rest.shape, shape):
        raise ValueError(
            f"`init_state(shape=...)` must be a shape that `{field}` of shape {rest.shape} "
            f"broadcasts into, got {shape}. Give one value, or one a channel."
        )
    return jnp.zeros(shape, dtype) + rest  # a new buffer: the state may be donated


def check_shape(name: str, shape: Any) -> Shape:
    """A shape as a tuple, or an error that says what one is."""
    if not isinstance(shape, tuple | list) or not all(map(_is_size, shape)):
        raise TypeError(
            f"`{name}.init_state(shape=...)` must be a tuple of sizes, got {shape!r}. "
            "Give the shape of one step of input: `init_state(x.shape)`."
        )
    return tuple(shape)


def _is_size(n: Any) -> bool:
    return isinstance(n, int) or jax.export.is_symbolic_dim(n)


def uniform_weight(shape: Shape, key: Array) -> Array:
    """Uniform between plus and minus ``1 / sqrt(n)``, n being the last axis: torch's for Linear."""
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def leaky_charge(v: Array, x: Array, tau: Param, v_reset: Param | None, decay_input: bool) -> Array:
    """Charge a membrane that leaks towards ``v_reset``, or 0 if that is None.

    With ``decay_input``: ``h = v + (x - (v - v_reset)) / tau``, else
    ``h = v - (v - v_reset) / tau + x``.
    """
    leak = v if v_reset is None else v - v_reset
    # divided by tau, not multiplied by 1 / tau: the last bit decides spikes at threshold
    return v + (x - leak) / tau if decay_input else v - leak / tau + x


def reset(
    h: Array, s: Array, v_threshold: Param, v_reset: Param | None, detach_reset: bool
) -> Array:
    """The membrane after the spikes ``s`` of the charged membrane ``h``.

    ``v = h - s * v_threshold`` (soft) if ``v_reset`` is None, else
    ``v = s * v_reset + (1 - s) * h`` (hard). With ``detach_reset`` no gradient flows through ``s``.
    """
    r = jax.lax.stop_gradient(s) if detach_reset else s
    return h - r * v_threshold if v_reset is None else r * v_reset + (1 - r) * h


def fire(
    h: Array, v_threshold: Param, v_reset: Param | None, surrogate: Surrogate, detach_reset: bool
) -> tuple[Array, Array]:
    """Spike where the charged membrane ``h`` reaches threshold, then `reset`.

    Returns:
        The membrane after reset, and the spikes ``heaviside(h - v_threshold)``.
    """
    s = spike(h - v_threshold, surrogate)
    return reset(h, s, v_threshold, v_reset, detach_reset), s


#: When a membrane that fired is reset: in the same step, in the next, or not at all.
RESET_TIMES = ("immediate", "before_charge", "after_charge", "never")


def charge_fire_reset(v: Tree, when: str, charge: Any, fire: Any, reset: Any) -> tuple[Any, ...]:
    """Charge the membrane ``v``, fire, and reset at the time ``when``, one of `RESET_TIMES`.

    Returns:
        The new membrane, its spikes, and those of ``v``, which is None if ``when`` is immediate.
    """
    if when == "immediate":
        h = charge(v)
        s = fire(h)
        return reset(h, s), s, None
    last = fire(v)
    h = charge(reset(v, last) if when == "before_charge" else v)
    h = reset(h, last) if when == "after_charge" else h
    return h, fire(h), last


def fire_ternary(
    h: Array, v_threshold: Param, v_reset: Param | None, surrogate: Surrogate, detach_reset: bool
) -> tuple[Array, Array]:
    """Spike 1 from ``v_threshold`` up and -1 from ``-v_threshold`` down, then `reset`.

    A soft reset subtracts ``s * v_threshold`` with the sign of the spike.

    Returns:
        The membrane after reset, and the spikes ``heaviside(h - v_threshold)
        - heaviside(-h - v_threshold)``.
    """
    up, down = spike(h - v_threshold, surrogate), spike(-h - v_threshold, surrogate)
    s = up - down
    event = s if v_reset is None else up + down
    return reset(h, event, v_threshold, v_reset, detach_reset), s


def quadratic(v: Array, a0: Param, v_rest: Param, v_c: Param) -> Array:
    """The current ``a0 * (v - v_rest) * (v - v_c)`` of a quadratic membrane."""
    return a0 * (v - v_rest) * (v - v_c)


def exponential(v: Array, delta_t: Param, theta_rh: Param) -> Array:
    """The current ``delta_t * exp((v - theta_rh) / delta_t)`` of an exponential membrane."""
    return delta_t * jnp.exp((v - theta_rh) / delta_t)


def adapt(w: Array, v: Array, s: Array, v_rest: Param, tau_w: Param, a: Param, b: Param) -> Array:
    """The adaptation current after a step: ``w + (a * (v - v_rest) - w) / tau_w + b * s``."""
    return w + (a * (v - v_rest) - w) / tau_w + b * s


def square_weight(neuron: Any) -> None:
    """Check that the weight of ``neuron`` is ``[T, T]`` and its bias ``[T]``."""
    name, weight, bias = type(neuron).__name__, jnp.shape(neuron.weight), jnp.shape(neuron.bias)
    if len(weight) != 2 or weight != 2 * bias:
        raise ValueError(
            f"`{name}(weight=..., bias=...)` must have shapes [T, T] and [T], "
            f"got {weight} and {bias}. Use `{name}.init`."
        )


def mix_time(weight: Array, bias: Array, xs: Array) -> Array:
    """``weight @ xs + bias`` over the time axis, the first."""
    return jnp.tensordot(weight, xs, 1) + jnp.expand_dims(bias, range(1, xs.ndim))

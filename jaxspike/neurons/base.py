"""The call of a neuron: the checks and dtypes around its equations."""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._pytree import Pytree
from .._state import compute_dtype, is_float, layout, output_dtype, shape_mismatch
from .._types import Array, DType, Shape, State

_MISSING = object()


class Neuron(Pytree, abc.ABC):
    """A pure function ``(state, x) -> (state, spikes)`` together with its parameters.

    A model is a subclass with fields, ``init_state`` and ``step``; the call checks shapes, keeps
    dtypes and runs the equations. An instance is an immutable pytree: give new parameters with
    ``neuron.replace(tau=3.0)``, differentiate it with `jax.grad`, stack it with `jax.vmap`.

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

    _computes: ClassVar[bool] = True  # if not, its step only moves values, of any dtype

    @abc.abstractmethod
    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> State:
        """State at rest.

        Args:
            shape: Shape of one step of input, ``(N, *)``.
            dtype: Floating dtype of the state.
        """

    @abc.abstractmethod
    def step(self, state: State, x: Array) -> tuple[State, Array]:
        """The equations of one time step: ``(state, x) -> (state, spikes)``."""

    def __call__(self, state: State, x: Any = _MISSING) -> tuple[State, Array]:
        """Run one time step.

        Args:
            state: The state from ``init_state(x.shape)`` or from the previous step.
            x: Input of one step, ``[N, *]``; integers and booleans are converted to float32.

        Returns:
            The new state, and the spikes in the shape of ``x``.

        Raises:
            TypeError: If the state belongs to another neuron, or ``x`` is missing or complex.
            ValueError: If the shape of ``x`` is not the one that the state was built for, or a
                parameter does not broadcast into it.
        """
        name = type(self).__name__
        if x is _MISSING:
            raise TypeError(
                f"`{name}(state, x)` must get a state and an input, got one argument. In a network "
                "it is a layer of a `jaxspike.nn.Sequential` or `SpikingModule`, which pass it its "
                "state; an `nnx.Sequential` does not."
            )
        x, state = _real(name, "x", x), jax.tree.map(jnp.asarray, state)
        self._check(state, x.shape)
        if self._computes:
            dtype = compute_dtype([a.dtype for a in jax.tree.leaves(state) if is_float(a)])
            wide = jax.tree.map(lambda a: a.astype(dtype) if is_float(a) else a, (self, state))
            new, out = wide[0]._run(wide[1], x.astype(dtype))
        else:
            new, out = self._run(state, x)
        new = jax.tree.map(lambda n, s: n if n.dtype == s.dtype else n.astype(s.dtype), new, state)
        return new, out.astype(output_dtype(x))

    def _check(self, state: State, shape: Shape) -> None:
        name = type(self).__name__
        want = jax.eval_shape(lambda: self.init_state(shape))
        if layout(state) == layout(want):
            for have, like in zip(jax.tree.leaves(state), jax.tree.leaves(want), strict=True):
                if is_float(like) and not is_float(have):
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

    def _run(self, state: State, x: Array) -> tuple[State, Array]:
        """Run ``step`` and check that it kept the shapes, which a parameter array may not widen."""
        name = type(self).__name__
        try:
            # parameters broadcast against [N, *] by definition
            with jax.named_scope(name), jax.numpy_rank_promotion("allow"):
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
        if np.shape(out) != x.shape or layout(new) != layout(state):
            if wide := self._wider_than(x.shape):
                raise self._too_wide(wide, x.shape)
            raise ValueError(
                f"`{name}.step` must keep the shapes of x, {x.shape}, and of the state, "
                f"{layout(state)[1]}, got {np.shape(out)} and {layout(new)[1]}."
            )
        return new, out

    def _wider_than(self, shape: Shape) -> dict[str, Shape]:
        """Parameter arrays that do not broadcast into ``shape``."""
        arrays = {
            jax.tree_util.keystr(path, simple=True, separator="."): np.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(self)
        }
        return {k: s for k, s in arrays.items() if not _check.fits(s, shape)}

    def _too_wide(self, wide: dict[str, Shape], shape: Shape) -> ValueError:
        (field, got), *_ = wide.items()
        return ValueError(
            f"`{type(self).__name__}({field}=...)` must broadcast against x of shape {shape}, "
            f"got shape {got}. Give one value, or one per channel: shape {shape[-1:]}."
        )


class SequenceNeuron(Pytree, abc.ABC):
    """A pure function ``xs -> spikes`` of a whole sequence, together with its parameters.

    It has no state and no step: every output may depend on every input. A model is a subclass with
    fields and ``sequence``; the call checks the sequence and keeps dtypes. Arithmetic runs in the
    dtype of ``xs``, at least float32; the output has the dtype of ``xs`` if that is floating, else
    float32.

    In a network it is a layer like a neuron, with its ``learned()`` fields as `flax.nnx.Param`; the
    network then runs sequences only.

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
        """The number of time steps it is made for; None if any."""
        return None

    def __call__(self, xs: Array, *step: Any) -> Array:
        """Run a sequence.

        Args:
            xs: Input, ``[T, N, *]``; integers and booleans are converted to float32.
            *step: Nothing; it turns a call ``neuron(state, x)`` into an error that explains.

        Returns:
            The spikes, in the shape of ``xs``.

        Raises:
            TypeError: If ``xs`` is complex.
            ValueError: If it is called with a state and one step, there is no time axis, the
                number of time steps is not that of the weights, or a parameter does not broadcast.
        """
        name = type(self).__name__
        if step:
            raise ValueError(
                f"`{name}(xs=...)` must be a whole sequence `[T, N, *]`, got a state and one step "
                f"of shape {np.shape(step[0])}: a {name} has no single step. "
                "Call `neuron(xs)`, in a network `net(state, x_seq)`."
            )
        xs = _real(name, "xs", xs)
        if not xs.ndim or len(xs) != (self.length or len(xs)) or not len(xs):
            want = f"{self.length} time steps" if self.length else "at least one time step"
            hint = " Its weights are made for that length." if self.length else ""
            raise ValueError(
                f"`{name}(xs=...)` must have {want} as axis 0, got shape {xs.shape}.{hint}"
            )
        dtype = compute_dtype([xs.dtype] if is_float(xs) else [])
        neuron = jax.tree.map(lambda a: a.astype(dtype) if is_float(a) else a, self)
        with jax.named_scope(name), jax.numpy_rank_promotion("allow"):
            ys = neuron.sequence(xs.astype(dtype))
        if np.shape(ys) != xs.shape:
            raise ValueError(
                f"`{name}.sequence` must keep the shape of xs, {xs.shape}, got {np.shape(ys)}. "
                "A field may be wider than one step."
            )
        return ys.astype(xs.dtype if is_float(xs) else jnp.float32)


def _real(name: str, argument: str, x: Any) -> Array:
    if isinstance(x, list | tuple):  # a list of steps would be mistaken for a batch
        swapped, stack = "State comes first", f"Stack it: `jnp.stack({argument})`, time first"
        got = f"{_check.kind(x)}. {swapped if hasattr(x, '_fields') else stack}."
        raise TypeError(f"`{name}({argument}=...)` must be an array, got {got}")
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(
            f"`{name}({argument}=...)` must be real, got {x.dtype}. Give its real part."
        )
    return x

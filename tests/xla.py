"""How the tests compile: quickly, and as users do where the last bit of a number decides.

Most of the suite's time would be LLVM's. The graph is optimized either way; what `QUICK` saves is
the work on the machine code of each kernel.
"""

import jax

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
AS_USERS = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
if jax.__version_info__ < (0, 11):  # later there is no choice of emitters
    QUICK["xla_cpu_use_fusion_emitters"] = False
    AS_USERS["xla_cpu_use_fusion_emitters"] = True


def as_flags(options):
    """The options as the environment variable XLA_FLAGS has them."""
    return " ".join(f"--{name}={str(value).lower()}" for name, value in options.items())

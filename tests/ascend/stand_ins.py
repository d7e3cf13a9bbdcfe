"""Builds libraries that stand in for CANN, so that the Ascend part of MindSpore's package loads without it.

In MindSpore's dry run (``MS_SIMULATION_LEVEL``) the host's side of the Ascend backend works as usual and no device is
asked for anything. The package from PyPI holds that backend, but not the libraries of CANN that it is linked with. What
those have to offer is read from the package itself: `ldd -r` names the libraries and the functions that are missing.
Each function becomes one that does nothing and returns 0, but for the few C++ ones whose callers use the result.
"""
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

SOC = "Ascend910B2"
"""The chip that the dry run compiles for, unless the variable ``SOC_VARIABLE`` names another."""
SOC_VARIABLE = "STAND_IN_SOC"

_PACKAGE = Path(importlib.util.find_spec("mindspore").submodule_search_locations[0]) / "lib"
_ASCEND = _PACKAGE / "plugin" / "ascend"
# What MindSpore loads for Ascend, and what those load by path.
_LOADED = (
    _PACKAGE / "libmindspore_ge_backend.so", _PACKAGE / "plugin" / "libmindspore_ascend.so.2",
    _PACKAGE / "plugin" / "libmindspore_ops_ascend.so", _ASCEND / "libmindspore_ascend_res_manager.so",
    _ASCEND / "libmindspore_graph_ir.so", _ASCEND / "libd_collective.so", _ASCEND / "libhccl_plugin.so",
    _ASCEND / "ms_kernels_symmetric_memory" / "shmem" / "shmem" / "lib" / "libshmem.so")
# Loaded by name while MindSpore runs; nothing is linked with them.
_OPENED_BY_NAME = ("libacl_op_compiler.so", "libacl_tdt_channel.so", "libacl_tdt_queue.so", "libopapi.so",
                   "libprofapi.so")

_OF_CANN = re.compile(r"_ZNK?2ge|(acl|rt|hal|Msprof|Hccl|Hcom)[A-Z]|acl(rt|op|mdl|prof|tdt|nn|grph|dump|sys)")
# Functions looked up by name; their names are texts in the library that looks.
_LOOKED_UP = re.compile(rb"\0((?:acl[A-Za-z0-9]+|Msprof[A-Za-z]+|rt[A-Z][A-Za-z0-9]+)(?=\0))")
# Linked weakly, or neither linked nor among those texts. Not here are the aclnn operators and aclCreateTensor: if they
# were, MindSpore would ask them how much memory an operator needs.
_BESIDES = ("aclnnInit", "aclnnFinalize", "rtDevBinaryRegister", "rtFunctionRegister", "rtKernelLaunch",
            "rtGetC2cCtrlAddr", "MsprofSysCycleTime", "MsprofGetHashId", "MsprofReportApi", "MsprofReportCompactInfo",
            "MsprofReportAdditionalInfo", "MsprofRegisterCallback", "HcclGetRootInfo", "HcclCommInitRootInfo",
            "HcclGetCommName", "HcclCommDestroy")

# Objects of namespace ge are two pointers (a shared_ptr), an Operator one more.
_CONSTRUCTOR = re.compile(r"_ZN2ge\d+(?!\w*Register)\w+C[12]E")
_RETURNS_OBJECT = re.compile(r"_ZNK?2ge.*(CreateOperator|GetShapeEv|GetOriginShapeEv|GetTensorDescEv|GetOutputDescE"
                             r"|Summary)")
_RETURNS_ITSELF = re.compile(r"_ZN2ge(8Operator(7SetAttr|8SetInput|15AddControlInput)|5Graph(9SetInputs|10SetOutputs))")
_OPERATOR = re.compile(r"_ZN2ge8OperatorC|CreateOperator")

_BY_HAND = {
    "aclrtGetSocName": f'''extern "C" const char *aclrtGetSocName() {{
  const char *name = getenv("{SOC_VARIABLE}");
  return name != nullptr ? name : "{SOC}";
}}''',
    "_ZN2ge13StatusFactory8InstanceEv": """namespace ge {
struct StatusFactory { std::map<unsigned, std::string> names; static StatusFactory *Instance(); };
StatusFactory *StatusFactory::Instance() { static auto *only = new StatusFactory; return only; }
}""",
}
_COMPILER = ("g++", "-D_GLIBCXX_USE_CXX11_ABI=0", "-O1", "-w", "-fPIC", "-shared")


def build(folder: Path) -> dict[str, str]:
    """Builds the stand-ins (seconds).

    Args:
        folder: where they go; exists.

    Returns:
        The environment variables of a dry run of one process.

    Raises:
        subprocess.CalledProcessError: the compiler or `ldd` failed.
    """
    libraries, functions = _missing()
    source = folder / "stand_ins.cc"
    source.write_text(_source(functions))
    out = folder / "cann" / "lib64"  # MindSpore looks for both words in the path
    out.mkdir(parents=True)
    main = "libascendcl.so"
    subprocess.run([*_COMPILER, source, f"-Wl,-soname,{main}", "-o", out / main], check=True)
    for name in libraries - {main}:  # each is empty and brings the one with the functions
        subprocess.run([*_COMPILER, "-Wl,--no-as-needed", f"-Wl,-soname,{name}", "-o", out / name, f"-L{out}",
                        "-lascendcl"], check=True)
    module = folder / "python" / "hccl"  # asked for its version when there are several ranks
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "sys_version.py").write_text('__sys_version__ = "9.1"\n')
    # Level 1 goes on to the backend, with memory and streams of its own; level 0 stops before it.
    return {"LD_LIBRARY_PATH": str(out), "PYTHONPATH": str(folder / "python"), "MS_SIMULATION_LEVEL": "1",
            "RANK_SIZE": "1", "RANK_ID": "0"}


def _missing() -> tuple[set[str], set[str]]:
    """Names of the libraries and of the functions that MindSpore's package wants of CANN."""
    libraries, functions = set(_OPENED_BY_NAME), set(_BESIDES)
    shared_memory = _ASCEND / "ms_kernels_symmetric_memory" / "shmem" / "memfabric_hybrid" / "lib"
    path = ":".join(str(folder) for folder in (_PACKAGE, _PACKAGE / "plugin", _ASCEND, shared_memory))
    for library in _LOADED:
        found = subprocess.run(["ldd", "-r", library], capture_output=True, text=True, check=False,
                               env={**os.environ, "LD_LIBRARY_PATH": path})
        libraries.update(re.findall(r"^\s*(lib\w+\.so) => not found", found.stdout, re.MULTILINE))
        names = re.findall(r"undefined symbol: (\w+)", found.stdout + found.stderr)
        functions.update(name for name in names if _OF_CANN.match(name))
    looking = (_ASCEND / "libmindspore_ascend_res_manager.so").read_bytes()
    functions.update(name.decode() for name in _LOOKED_UP.findall(looking))
    return libraries, functions


def _source(functions: set[str]) -> str:
    lines = ["#include <cstdlib>", "#include <cstring>", "#include <map>", "#include <string>", *_BY_HAND.values()]
    for number, name in enumerate(sorted(functions - set(_BY_HAND))):
        # A caller hands over the room for an object it wants, or the object itself, as the first argument.
        room = 24 if _OPERATOR.search(name) else 16
        fill = bool(_CONSTRUCTOR.match(name) or _RETURNS_OBJECT.search(name))
        body = (f"memset(first, 0, {room}); " if fill else "") + (
            "return (long)first;" if fill or _RETURNS_ITSELF.match(name) else "return 0;")
        lines += [f'extern "C" long f{number}(char *first) __asm__("{name}");',
                  f'extern "C" long f{number}(char *first) {{ {body} }}']
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in build(Path(sys.argv[1])).items()))

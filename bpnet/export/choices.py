"""What an export can be: what options, graphs and files name alike. Imports nothing, for --help."""

DATA_TYPES = ("fp32", "fp16", "int8", "int8+fp16")
FORMS = ("onnxruntime", "tensorrt")  # of INT8, see ``quantize``
OPSETS = range(13, 22)  # that bpnet writes: TensorRT 8 reads 13; float16 scales need 19
SUFFIXES = (".onnx", ".etlt")  # of exported models; the latter are encrypted
MODELS = "models"  # a bundle's folder of exported files

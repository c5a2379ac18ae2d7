"""Every bad input with the line that answers it, after `bitlane: `: models, arrays, options.

The files are those of `tests.cli.workspace`.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import hwconfigs
from simulator.numeric.dialect import DIALECTS
from tests.ops.models import KNOWN
from workloads.zoo.shapes import NETWORKS

Cases: TypeAlias = Mapping[str, str]
"""Arguments of `bitlane`, and the message."""

USAGE: Final[Cases] = {
    "bogus": "No such command 'bogus'. (see bitlane --help)",
    "inspect": "Missing argument 'MODEL'. (see bitlane inspect --help)",
    "inspect zoo:digits --frobnicate": (
        "No such option: --frobnicate (see bitlane inspect --help)"
    ),
    "estimate zoo:digits": "Missing option '--hw'. (see bitlane estimate --help)",
    "hw frobnicate": "No such command 'frobnicate'. (see bitlane hw --help)",
    "sweep sweep.yaml": "Missing option '--out'. (see bitlane sweep --help)",
}
"""Commands and options that are not there."""

MODELS: Final[Cases] = {
    "inspect nowhere.tflite": (
        "nowhere.tflite: no such file; give a .tflite, .onnx or .csv file or zoo:NAME, "
        "such as zoo:digits"
    ),
    "inspect folder.tflite": (
        "folder.tflite: this is a folder; give a .tflite, .onnx or .csv file or zoo:NAME"
    ),
    "inspect empty.tflite": "empty.tflite: the file is empty; export the model again",
    "inspect words.tflite": (
        "words.tflite: not a TFLite model: bytes 4-7 are b' an ', not b'TFL3'; give a .tflite "
        "flatbuffer"
    ),
    "inspect digits.bin": (
        "digits.bin: models are read from .tflite, .onnx or .csv files; found '.bin'. Convert the "
        "model to one of them, fully quantized."
    ),
    "inspect cut_5.tflite": (
        "cut_5.tflite: not a TFLite model: bytes 4-7 are b'T', not b'TFL3'; give a .tflite "
        "flatbuffer"
    ),
    "inspect cut_8.tflite": (
        "cut_8.tflite: the file is truncated or damaged: one of its tables leads outside its "
        "8 bytes; fetch or export it again"
    ),
    "inspect cut_100.tflite": (
        "cut_100.tflite: the file is truncated or damaged: one of its tables leads outside its "
        "100 bytes; fetch or export it again"
    ),
    "inspect cut_4096.tflite": (
        "cut_4096.tflite: the file is truncated or damaged: one of its tables leads outside its "
        "4096 bytes; fetch or export it again"
    ),
    "inspect cut_9000.tflite": (
        "cut_9000.tflite: the file is truncated or damaged: one of its tables leads outside its "
        "9000 bytes; fetch or export it again"
    ),
    "inspect ''": (
        "MODEL is empty; give a .tflite, .onnx or .csv file or zoo:NAME, such as zoo:digits"
    ),
    "inspect WORDS.TFLITE": (
        "WORDS.TFLITE: not a TFLite model: bytes 4-7 are b' an ', not b'TFL3'; give a .tflite "
        "flatbuffer"
    ),
    "inspect EMPTY.ONNX": "EMPTY.ONNX: the file is empty; export the model again",
    "inspect empty.onnx": "empty.onnx: the file is empty; export the model again",
    "inspect digits.onnx": (
        "digits.onnx: not an ONNX model, or a truncated one: its 4096 bytes are no complete "
        "protobuf; fetch or export it again"
    ),
    "inspect unsupported.tflite": (
        "unsupported.tflite, node 0 (BROADCAST_ARGS): operator BROADCAST_ARGS is not supported."
        f" Supported: {KNOWN}."
    ),
    "inspect unquantized.tflite": (
        "unquantized.tflite, node 0 (CONV_2D): the input has no quantization parameters. Only "
        "fully quantized graphs run here; quantize the model first."
    ),
    "inspect hybrid.tflite": (
        "hybrid.tflite, node 0 (CONV_2D): input 1 must be float32 or float64; found int8."
        " Convert the model to full integer quantization."
    ),
    "inspect zoo:digit": "zoo:digit: no such network in the zoo; did you mean zoo:digits?",
    "inspect zoo:faces": (
        "zoo:faces: no such network in the zoo; there are "
        f"{', '.join(sorted([*NETWORKS, 'digits']))}"
    ),
    "inspect zoo:resnet18,wdth=1": (
        "zoo:resnet18,wdth=1: options are side=32 to 4096; classes=1 to 100000; "
        "bits=4, 8 or 16; and seed=0 to 999999; found 'wdth=1'."
    ),
    "exec zoo:vgg_small --inputs one.npz --out out.npz": (
        "zoo:vgg_small: a topology holds shapes and no values; estimate, sweep and inspect take "
        "it: give a .tflite or .onnx file to compute"
    ),
}
"""Files that are no model, or none that runs here."""

ON_ARRAY: Final = "exec zoo:digits --inputs one.npz --out out.npz --hw systolic_16x16"
NARROW_TRAP: Final = "--set datapath.accumulator.bits=8 --set datapath.accumulator.overflow=trap"
ARRAYS: Final[Cases] = {
    "exec zoo:digits --inputs nowhere.npz --out out.npz": (
        "nowhere.npz: no such file; give an .npz keyed by tensor name or input_0, ..."
    ),
    "exec zoo:digits --inputs key.npz --out out.npz": (
        "key.npz: no input is named 'image'; the inputs are 'pixels' (or input_0)"
    ),
    "exec zoo:digits --inputs no_key.npz --out out.npz": (
        "no_key.npz: input 'pixels' is missing; the inputs are 'pixels' (or input_0)"
    ),
    "exec zoo:digits --inputs float.npz --out out.npz": (
        "float.npz: input 'pixels' must be int8; found float32. Quantize the values with the "
        "input's scale and zero point."
    ),
    "exec zoo:digits --inputs shape.npz --out out.npz": (
        "shape.npz: input 'pixels' must have shape (1, 8, 8, 1), or many samples of it along "
        "the first dimension; found (1, 8, 9, 1)"
    ),
    "exec zoo:digits --inputs no_samples.npz --out out.npz": (
        "no_samples.npz: input 'pixels' must have shape (1, 8, 8, 1), or many samples of it "
        "along the first dimension; found (0, 8, 8, 1)"
    ),
    "exec zoo:digits --inputs both.npz --out out.npz": (
        "both.npz: 't0' gives input 'pixels' a second time; give each input once"
    ),
    "exec zoo:digits --inputs objects.npz --out out.npz": (
        "objects.npz: not an .npz of plain arrays; save it with numpy.savez"
    ),
    "exec zoo:digits --inputs single.npz --out out.npz": (
        "single.npz: this is a single array; save it with numpy.savez"
    ),
    "exec zoo:digits --inputs text.npz --out out.npz": (
        "text.npz: 'input_0' is no array; save the file with numpy.savez"
    ),
    "exec zoo:digits --inputs words.npz --out out.npz": (
        "words.npz: not an .npz of plain arrays; save it with numpy.savez"
    ),
    "exec zoo:digits --inputs cut.npz --out out.npz": (
        "cut.npz: not an .npz of plain arrays; save it with numpy.savez"
    ),
    "exec zoo:digits --inputs emptied --out out.npz": (
        "emptied: not an .npz of plain arrays; save it with numpy.savez"
    ),
    "exec zoo:digits --inputs one.npz --out one.npz/out.npz": (
        "one.npz/out.npz: cannot be written (Not a directory); choose another place"
    ),
    "exec zoo:digits --inputs one.npz --out out.npz --tensors some": (
        "--tensors some: must be one of outputs, all"
    ),
    "exec zoo:digits --inputs one.npz --out out.npz --set array.rows=3": (
        "--set array.rows=3: changes a machine's field; give the machine with --hw"
    ),
    f"{ON_ARRAY} --set datapath.weight_bits=4": (
        "digits_cnn.tflite, conv_2d_0: its weights have 8 bits, the datapath 4; widen "
        "datapath.weight_bits or set datapath.narrow: true"
    ),
    f"{ON_ARRAY} --set datapath.layers='[{{layer: conv_2d_9, weight_bits: 4}}]'": (
        "digits_cnn.tflite: datapath.layers.0.layer: no node is named 'conv_2d_9'; did you mean "
        "'conv_2d_3'?"
    ),
    f"{ON_ARRAY} --set datapath.narrow=true --set datapath.weight_bits=1": (
        "digits_cnn.tflite, conv_2d_0: symmetric weights need 2 bits; found datapath.weight_bits = "
        "1. Set it to 2, or give a model with bipolar weights"
    ),
    f"{ON_ARRAY} {NARROW_TRAP}": (
        "digits_cnn.tflite, conv_2d_0: the 8-bit accumulator overflows at output position 0, "
        "channel 0, the bias; widen datapath.accumulator.bits or let it wrap or saturate"
    ),
}
"""Input and output arrays."""

OPTIONS: Final[Cases] = {
    "inspect zoo:digits --dialect tensorflow": (
        f"dialect 'tensorflow' is not supported. Supported: {', '.join(sorted(DIALECTS))}."
    ),
    "inspect zoo:digits --bits 16": "--inputs and --bits belong to --accumulators; add it",
    "inspect zoo:digits --accumulators --bits 16": (
        "--bits counts what is lost on data; give the data by --inputs"
    ),
    "inspect zoo:digits --accumulators --bits 1 --inputs one.npz": (
        "--bits 1: must be an integer from 2 to 64"
    ),
    "inspect zoo:digits --json one.npz/new.json": (
        "one.npz/new.json: cannot be written (Not a directory); choose another place"
    ),
    "inspect zoo:digits --json emptied": (
        "emptied: cannot be written (Is a directory); choose another place"
    ),
    "inspect zoo:digits --json nowhere/new.json": (
        "nowhere/new.json: cannot be written (No such file or directory); choose another place"
    ),
    "inspect zoo:digits --json ''": "'.': names no file; give a file to write",
    "validate zoo:digits": "validate takes --against RUNTIME or --hw MACHINE, one of the two",
    "validate zoo:digits --against litert": (
        "--against litert: no such reference. Supported: litert-ref, onnxruntime, "
        "onnxruntime-unfused."
    ),
    "validate zoo:digits --against litert-ref --hw cortex_m4": (
        "validate takes --against RUNTIME or --hw MACHINE, one of the two"
    ),
    "validate zoo:digits --against litert-ref --samples -3": (
        "--samples -3: must be an integer >= 1"
    ),
    "validate zoo:digits --against litert-ref --seed -1": "--seed -1: must be an integer >= 0",
    "validate zoo:digits --against litert-ref --set array.rows=3": (
        "--set array.rows=3: changes a machine's field; give the machine with --hw"
    ),
    "golden zoo:digits --inputs five.npz --out new": (
        "five.npz: holds 5 samples; give the inputs of one inference"
    ),
    "golden zoo:digits --inputs one.npz --out run": "run: is not empty; choose another --out",
    "golden zoo:digits --inputs one.npz --out one.npz": (
        "one.npz/conv_2d_0: the folder cannot be made (Not a directory); choose another --out"
    ),
    "golden zoo:digits --inputs one.npz --out new --layer conv": (
        "--layer conv: no such layer; there are conv_2d_0, depthwise_conv_2d_1, conv_2d_2, "
        "conv_2d_3, add_4, average_pool_2d_5, reshape_6, fully_connected_7, softmax_8"
    ),
    "golden zoo:digits --inputs one.npz --out new --lanes 0": (
        "--lanes 0: must be an integer from 1 to 4096"
    ),
    "golden zoo:digits --inputs one.npz --out new --hw cortex_m4 --fold-taps 3": (
        "--fold-taps 3: must be a multiple of 2, the products that the datapath sums at once"
    ),
    "estimate zoo:digits --hw systolic_16x15": (
        "no machine is named 'systolic_16x15'; did you mean 'systolic_16x16'? (a file's name "
        "ends in .yaml)"
    ),
    "estimate zoo:digits --hw nowhere.yaml": (
        f"nowhere.yaml: no such file; these ship with bitlane: {', '.join(hwconfigs.names())}"
    ),
    "estimate zoo:digits --hw cortex_m.yaml": (
        "cortex_m.yaml: no such file; did you mean 'cortex_m7', which ships with bitlane?"
    ),
    "estimate huge.tflite --hw cortex_m4": (
        "huge.tflite, relu_0 (relu) on cortex_m4: 2251799813685248 requantizations are more than "
        "are counted exactly here (1256584717458); split the layer or lower the batch"
    ),
    "estimate zoo:digits --hw cortex_m4 --batch 0": (
        "--batch 0: must be an integer from 1 to 4096"
    ),
    "estimate zoo:digits --hw cortex_m4 --batch 9999999999999999999999": (
        "--batch 9999999999999999999999: must be an integer from 1 to 4096"
    ),
    "estimate zoo:digits --hw cortex_m4 --csv emptied": (
        "emptied: cannot be written (Is a directory); choose another place"
    ),
    "estimate zoo:digits --hw cortex_m4 --html nowhere/page.html": (
        "nowhere/page.html: cannot be written (No such file or directory); choose another place"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array.rows": (
        "--set array.rows: write PATH=VALUE, as in --set array.rows=32"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set =3": (
        "--set =3: write PATH=VALUE, as in --set array.rows=32"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array.rowz=3": (
        "--set array.rowz=3: array.rowz: unknown field; did you mean 'rows'?"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array.rows=many": (
        "--set array.rows=many: array.rows: must be an integer; found 'many'"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array.rows=0": (
        "--set array.rows=0: array.rows: must be >= 1; found 0"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array.rows.deep=1": (
        "--set array.rows.deep=1: array.rows: holds a value, not fields; there is no 'deep' "
        "below it"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set array..rows=1": (
        "--set array..rows=1: 'array..rows' is no dotted path; write it as array.rows=16"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set 'array.rows=[1'": (
        "--set array.rows=[1: '[1' is not a YAML value; quote it"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set technology=horowitz_45": (
        "--set technology=horowitz_45: technology: no technology is named 'horowitz_45'; did "
        "you mean 'horowitz_45nm'? (a file's name ends in .yaml)"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set datapath.weight_bits=4": (
        "digits_cnn.tflite, conv_2d_0 (conv_2d) on systolic_16x16: its weights have 8 bits, the"
        " datapath 4; widen datapath.weight_bits or set datapath.narrow: true"
    ),
    "estimate zoo:digits --hw systolic_16x16 --set datapath.widen=true": (
        "systolic_16x16: datapath.widen: costs are counted on one datapath that takes operands as "
        "they are or narrowed; leave it out here (exec, validate and golden follow it)"
    ),
    "hw show gpu": (
        f"no machine is named 'gpu'; known: {', '.join(hwconfigs.names())} "
        "(a file's name ends in .yaml)"
    ),
}
"""Values of options."""

DOCUMENTS: Final[Cases] = {
    "diff estimate.json nowhere.json": (
        "nowhere.json: cannot be read (No such file or directory); check the path"
    ),
    "diff estimate.json words.json": "words.json: is no JSON; give what estimate --json writes",
    "diff manifest.json estimate.json": (
        "manifest.json: schema must be bitlane.estimate/1; found bitlane.golden/1; "
        "estimate the model again"
    ),
    "diff headless.json estimate.json": (
        "headless.json: damaged, lacks what estimate --json writes; estimate the model again"
    ),
    "diff estimate.json damaged.json": (
        "damaged.json: damaged, lacks what estimate --json writes; estimate the model again"
    ),
}
"""What `diff` is given instead of estimates."""

REFERENCES: Final[Cases] = {
    "validate zoo:digits --against litert-ref --inputs shape.npz": (
        "shape.npz: input 'pixels' must have shape (1, 8, 8, 1), or many samples of it along "
        "the first dimension; found (1, 8, 9, 1)"
    ),
    "validate zoo:digits --against litert-ref --reference-model words.tflite": (
        "words.tflite: litert-ref refuses the model: The model is not a valid Flatbuffer buffer"
    ),
}
"""What only the installed reference can refuse."""

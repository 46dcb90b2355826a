"""The likeliest mistakes of a newcomer, ten or more a command: the exit code, and the words of the answer."""

from __future__ import annotations

import os
import shlex
import sys

import numpy as np
import onnx
import pytest
from build import model_from_text
from click.testing import CliRunner
from conftest import MODELS

from bridge.cli import main

CONVERT = [
    ("convert", 2, "Such as: bridge convert model.onnx model.tflite"),
    ("convert mnist.onx m.tflite", 1, "Did you mean 'mnist.onnx'?"),
    ("convert '' m.tflite", 1, "does not exist"),
    ("convert m.tflite mnist.onnx", 2, "The source comes first: bridge convert mnist.onnx m.tflite"),
    ("convert microsoft/resnet-50 m.tflite", 1, "hf://microsoft/resnet-50"),
    ("convert mnist.onnx", 1, "Name it with to=…"),
    ("convert mnist.onnx tflite", 1, "--to tflite"),
    ("convert mnist.onnx m.tflit", 1, "Did you mean '.tflite'?"),
    ("convert mnist.onnx m.h5", 1, "--to savedmodel"),
    ("convert mnist.onnx m.json", 1, "Formats that can be written: coreml, onnx"),
    ("convert mnist.onnx m.onnx --to tflite", 2, "give one of them"),
    ("convert mnist.onnx --to mlmodel", 1, "Core ML is 'coreml' here"),
    ("convert mnist.onnx --to keras", 1, "SavedModel is 'savedmodel' here"),
    ("convert mnist.onnx --to tensorflow", 1, "SavedModel is 'savedmodel' here"),
    ("convert mnist.onnx --to pt", 1, "TorchScript is 'torchscript' here"),
    ("convert mnist.onnx --to pytorch", 1, "TorchScript is 'torchscript' here"),
    ("convert mnist.onnx --to 'TF Lite'", 1, "TFLite is 'tflite' here"),
    ("convert mnist.onnx --to core-ml", 1, "Core ML is 'coreml' here"),
    ("convert mnist.onnx --to xgboost", 1, "XGBoost cannot be written"),
    ("convert mnist.onnx --to pkl", 1, "scikit-learn is 'sklearn' here, and cannot be written"),
    ("convert mnist.onnx --to openvino", 1, "Formats that can be written: coreml, onnx"),
    ("convert mnist.onnx m.tflite --from tflite", 1, "mnist.onnx is not TFLite, but ONNX"),
    ("convert mnist.onnx m.tflite --verfy", 2, "Did you mean --verify"),
    ("convert mnist.onnx m.tflite --quantize", 2, "requires an argument"),
    ("convert mnist.onnx m.tflite --html", 2, "requires an argument"),
    ("convert mnist.onnx m.tflite --html notes.md", 1, "is a file that is no page of bridge"),
    ("convert mnist.onnx m.tflite --html no/page.html", 1, "does not exist: create it first"),
    (
        "convert mnist.onnx --to tflite -o out --html page.html",
        2,
        "--html is of one model and its file alone",
    ),
    ("convert mnist.onnx - --to tflite --html page.html", 2, "--html is of one model and its file alone"),
    ("convert mnist.onnx m.tflite --html .", 1, "names no file"),
    ("convert mnist.onnx m.tflite --htlm page.html", 2, "Did you mean --html"),
    ("convert mnist.onnx m.tflite --int8", 2, "--quantize int8 --calibration DATA"),
    ("convert mnist.onnx m.tflite --quantize int9", 1, "Did you mean 'int8'?"),
    ("convert mnist.onnx m.tflite --quantize int8", 1, "--calibration random"),
    ("convert mnist.onnx m.tflite --quantize palette-4", 1, "It holds float16, int8, int16x8, int8-weights"),
    ("convert mnist.onnx m.tflite --calibration random", 2, "--calibration is of use with --quantize"),
    ("convert mnist.onnx m.tflite --min-sqnr 30", 2, "--min-sqnr is of use with --quantize"),
    ("convert mnist.onnx m.tflite --auto", 2, "--auto is of use with --quantize"),
    ("convert mnist.onnx m.tflite --quantize int8 --calibration no.npz", 1, "no.npz does not exist"),
    ("convert mnist.onnx m.tflite --quantize int8 --calibration notes.md", 1, "is no .npy or .npz file"),
    (
        "convert mnist.onnx m.tflite --quantize int8 --calibration random --auto",
        1,
        "min_sqnr or min_agreement",
    ),
    ("convert mnist.onnx m.tflite --quantize int8 --calibration random --image-mean a,b", 2, "NUMBER,…"),
    ("convert mnist.onnx m.tflite --quantize int8 --calibration random --keep-float Konv", 1, "keep_float"),
    (
        "convert mnist.onnx m.tflite --quantize int8 --calibration random --calibration-method max",
        1,
        "minmax",
    ),
    ("convert mnist.onnx m.tflite --force", 2, "--overwrite"),
    ("convert mnist.onnx m.tflite --rename Input3", 2, "is not NAME=VALUE"),
    ("convert mnist.onnx m.tflite --rename Input=image", 1, "Did you mean 'Input3'?"),
    ("convert mnist.onnx m.tflite --dims Input3:0=", 2, "is not NAME=LENGTH"),
    ("convert mnist.onnx m.tflite --dims Input3:9=batch", 1, "Input3 has 4 dimensions"),
    ("convert mnist.onnx m.tflite --mean 0.5", 2, "is of use with --picture INPUT alone"),
    ("convert mnist.onnx m.tflite --picture Input3 --resize 28", 2, "'28' is not NxN"),
    ("convert mnist.onnx m.tflite --constant Input3=none", 2, "neither a number nor an .npy file"),
    ("convert mnist.onnx m.tflite --dtype Input3=uint", 1, "Did you mean 'uint8'?"),
    ("convert mnist.onnx m.tflite --layout Input3=HWC", 1, "There are NCHW, NHWC."),
    ("convert mnist.onnx m.tflite --classes Plus214_Output_0=no.txt", 2, "no.txt is not read"),
    ("convert mnist.onnx m.tflite --nms boxes", 2, "is not BOXES,SCORES"),
    ("convert mnist.onnx --output m.tflite", 2, "DST is the word after SRC"),
    ("convert -i mnist.onnx -o m.tflite", 2, "Missing argument 'SRC'"),
    ("convert mnist.onnx -o m.tflite", 2, "To write a file: bridge convert mnist.onnx m.tflite"),
    ("convert mnist.onnx -o out", 2, "--to FORMAT"),
    ("convert mnist.onnx out", 1, "-o out --to FORMAT"),
    ("convert mnist.onnx out --to tflite --overwrite", 1, "out is a folder, and a TFLite model is a file"),
    ("convert mnist.onnx no/m.tflite", 1, "no does not exist: create it first"),
    ("convert mnist.onnx notes.md/m.tflite", 1, "notes.md is a file, not a folder"),
    ("convert mnist.onnx a.tflite b.tflite", 2, "-o DIR"),
    ("convert mnist.onnx taken.onnx", 1, "--overwrite"),
    ("convert mnist.onnx notes.md --to tflite --overwrite", 1, "holds no model bridge knows"),
    ("convert empty.onnx m.tflite", 1, "it holds no graph"),
    ("convert empty.bin m.tflite", 1, "It is empty"),
    ("convert cut.onnx m.tflite", 1, "Is the file complete?"),
    ("convert notes.md m.tflite", 1, "Formats that can be read: catboost"),
    ("convert model.pkl m.onnx", 1, "pickle.loads"),
    ("convert model.safetensors m.onnx", 1, "holds weights, and not the model"),
    ("convert models m.tflite", 1, "It is a folder of models"),
    ("convert out m.onnx", 1, "It is an empty folder"),
    ("convert out -o new --to tflite", 1, "out holds no model"),
    ("convert mnist.onnx m.tflite --opset 13", 1, "Its options: labels, layout, precision"),
    ("convert mnist.onnx m.tflite --precision fp16", 1, "not one of source, float16"),
    ("convert mnist.onnx m.onnx --opset latest", 1, "not one of 11, 12"),
    ("convert mnist.onnx m.onnx --opset", 2, "--opset VALUE"),
    ("convert mnist.onnx m.onnx --opst 13", 2, "Did you mean --opset"),
    ("convert mnist.onnx m.onnx -O opst=13", 1, "Did you mean 'opset'?"),
    ("convert mnist.onnx m.onnx -O opset", 2, "NAME=VALUE"),
    ("convert mnist.onnx -o notes.md --to onnx", 1, "a file is there"),
    ("convert mnist.onnx m.tflite --dims batch=1", 1, "every input has a static shape"),
    ("convert mnist.onnx m.tflite --dims 1,1,28,28", 2, "NAME=LENGTH"),
    ("convert mnist.onnx m.tflite --verify -i none.npy", 1, "none.npy does not exist"),
    ("convert mnist.onnx m.tflite --verify -i flat.npy", 1, "takes shape [1,1,28,28], not [784]"),
    ("convert mnist.onnx m.tflite -i image.npy", 2, "--verify"),
    ("convert mnist.onnx m.tflite --range Input3=0..1", 2, "--verify"),
    ("convert mnist.onnx m.tflite --keep", 2, "--verify"),
    ("convert mnist.onnx m.tflite --seed one", 2, "not a valid integer"),
    ("convert mnist.onnx m.tflite --card none.yaml", 1, "none.yaml cannot be read"),
    (
        "convert mnist.onnx m.tflite --card bad.yaml",
        1,
        "line 2: licence is no field of a card. Did you mean 'license'",
    ),
    ("convert mnist.onnx m.tflite --card bad.yaml", 1, "line 4: metrics[0].value is not a number: 'high'"),
    ("convert mnist.onnx m.tflite --card tabs.yaml", 1, "tabs.yaml, line 3: this is no YAML"),
    ("convert mnist.onnx m.tflite --card notes.md", 1, "is not a mapping of name, version"),
    ("convert mnist.onnx m.tflite --card-results", 2, "--verify"),
    ("convert mnist.onnx m.tflite --jobs 4", 2, "-o DIR"),
    ("convert mnist.onnx -o out --to tflite --jobs 0", 2, "x>=1"),
    ("convert mnist.onnx --batch jobs.toml", 2, "names the sources itself"),
    ("convert --batch none.toml", 1, "No such file"),
    ("convert --batch jobs.toml", 1, "[[job]]"),
    ("convert --batch misspelt.toml", 1, "The job of mnist.onnx: No plugin provides the format 'tflit'"),
    ("convert mnist.onnx -o out --to tflite --scheduler tcp://none:1", 1, "formatbridge[dask]"),
]
CHECK = [
    ("check", 2, "Such as: bridge check model.onnx --to tflite"),
    ("check mnist.onnx", 2, "--to"),
    ("check mnist.onnx tflite", 2, "Such as: bridge check model.onnx --to tflite"),
    ("check mnist.onx --to tflite", 1, "Did you mean 'mnist.onnx'?"),
    ("check mnist.onnx --to tflit", 1, "Did you mean 'tflite'?"),
    ("check mnist.onnx --to xgboost", 1, "Formats that can be written"),
    ("check mnist.onnx --to tflite --opset 13", 1, "TFLite has no option 'opset'"),
    ("check mnist.onnx --to tflite --verify", 2, "`bridge convert` has it"),
    ("check mnist.onnx --to tflite -o report.txt", 2, "> FILE"),
    ("check mnist.onnx --too tflite", 2, "Did you mean --to "),
    ("check mnist.onnx two.onnx --to tflite", 2, "unexpected extra argument (two.onnx)"),
    ("check models --to tflite", 1, "It is a folder of models"),
    ("check notes.md --to tflite", 1, "is not recognised"),
    ("check mnist.onnx --to tflite --dims batch", 2, "NAME=LENGTH"),
]
VERIFY = [
    ("verify", 2, "Such as: bridge verify model.onnx model.tflite"),
    ("verify mnist.onnx", 2, "Missing argument 'CANDIDATE'"),
    ("verify mnist.onnx mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("verify mnist.onnx batched.onnx", 1, "do not have the same inputs: Input3 and x"),
    ("verify mnist.onnx notes.md", 1, "is not recognised"),
    ("verify mnist.onnx mnist.onnx --rtol 1%", 2, "not a valid float"),
    ("verify mnist.onnx mnist.onnx --atol -1", 2, "x>=0"),
    ("verify mnist.onnx mnist.onnx --tolerance 0.1", 2, "--rtol and --atol"),
    ("verify mnist.onnx mnist.onnx -i none.npy", 1, "none.npy does not exist"),
    ("verify mnist.onnx mnist.onnx -i image=image.npy", 1, "they are Input3"),
    ("verify mnist.onnx mnist.onnx -i out", 1, "out holds no .npy"),
    ("verify mnist.onnx mnist.onnx --to tflite", 2, "`bridge convert` has it"),
    ("verify mnist.onnx mnist.onnx mnist.onnx", 2, "unexpected extra argument"),
    ("verify batched.onnx batched.onnx --dims bacth=2", 1, "Did you mean 'batch'?"),
    ("verify mnist.onnx mnist.onnx --range 0..1", 2, "NAME=LOW..HIGH"),
    ("verify mnist.onnx mnist.onnx --range Input3=1..0", 2, "NAME=LOW..HIGH"),
    ("verify mnist.onnx mnist.onnx --range input=0..1", 1, "Inputs: Input3"),
    ("verify mnist.onnx mnist.onnx --candidate-from tflite", 1, "is not TFLite, but ONNX"),
    ("verify mnist.onnx mnist.onnx --precision float16", 2, "neither model's format"),
]
RUN = [
    ("run", 2, "Such as: bridge run model.onnx -i input.npy"),
    ("run mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("run mnist.onnx image.npy", 2, "Such as: bridge run model.onnx -i input.npy"),
    ("run mnist.onnx --input image.npy", 2, "--inputs FILE (-i)"),
    ("run mnist.onnx -i picture.png", 1, "picture.png does not exist"),
    ("run mnist.onnx -i notes.md", 1, "numpy.save"),
    ("run mnist.onnx -i model.pkl", 1, "numpy.save"),
    ("run mnist.onnx -i flat.npy", 1, "takes shape [1,1,28,28], not [784]"),
    ("run mnist.onnx -i image.npy -i image.npy", 1, "one file too many"),
    ("run mnist.onnx -i Input=image.npy", 1, "Did you mean 'Input3'?"),
    ("run two.onnx -i named.npz", 1, "missing: a, b; unknown: x"),
    ("run mnist.onnx -o notes.md --overwrite", 1, "holds no arrays"),
    ("run mnist.onnx -o out", 1, "out is a folder"),
    ("run mnist.onnx -o taken.npz", 1, "--overwrite"),
    ("run mnist.onnx -o no/out.npz", 1, "create it first"),
    ("run mnist.onnx --verify", 2, "`bridge convert` has it"),
    ("run mnist.onnx --signature serve", 1, "ONNX has no option 'signature'"),
    ("run batched.onnx --dims 2", 2, "NAME=LENGTH"),
    ("run batched.onnx --dims batch=99999999999", 1, "BRIDGE_MEMORY"),
    ("run models", 1, "It is a folder of models"),
    ("run mnist.onnx --seed x", 2, "not a valid integer"),
]
INSPECT = [
    ("inspect", 2, "Such as: bridge inspect model.onnx"),
    ("inspect mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("inspect notes.md", 1, "is not recognised"),
    ("inspect models", 1, "It is a folder of models"),
    ("inspect out", 1, "It is an empty folder"),
    ("inspect empty.onnx", 1, "Is the file complete?"),
    ("inspect cut.onnx", 1, "Is the file complete?"),
    ("inspect mnist.onnx two.onnx", 2, "unexpected extra argument"),
    ("inspect mnist.onnx --to tflite", 2, "`bridge convert` has it"),
    ("inspect mnist.onnx --from tflite", 1, "is not TFLite, but ONNX"),
    ("inspect mnist.onnx --format onnx", 2, "--from names the format"),
    ("inspect mnist.onnx -o out.txt", 2, "> FILE"),
    ("inspect mnist.onnx --jso", 2, "Did you mean --json or --bom?"),
    ("inspect mnist.onnx --log-file no/log", 2, "No such file"),
    ("inspect mnist.onnx --card --provenance", 2, "Ask for one of"),
    ("inspect mnist.onnx --bom", 1, "formatbridge[bom]"),
]
FORMATS = [
    ("formats onx", 1, "Did you mean 'onnx'?"),
    ("formats mlmodel", 1, "Core ML is 'coreml' here"),
    ("formats keras", 1, "SavedModel is 'savedmodel' here"),
    ("formats .tflite", 1, "TFLite is 'tflite' here"),
    ("formats mnist.onnx", 1, "ONNX is 'onnx' here"),
    ("formats m.h5", 1, "SavedModel is 'savedmodel' here"),
    ("formats onnx tflite", 2, "Such as: bridge formats tflite"),
    ("formats --from onnx", 2, "`bridge convert` has it"),
    ("formats --json=yes", 2, "does not take a value"),
    ("formats -o out.txt", 2, "> FILE"),
    ("formats opset", 1, "Known formats: catboost"),
    ("formats onnx --quite", 2, "Did you mean --quiet"),
]
PLUGINS = [
    ("plugins tflite", 2, "unexpected extra argument (tflite)"),
    ("plugins list", 2, "Such as: bridge plugins"),
    ("plugins install bridge-x", 2, "Such as: bridge plugins"),
    ("plugins --install tflite", 2, "`--help` lists the options"),
    ("plugins --jsn", 2, "Did you mean --json?"),
    ("plugins --to tflite", 2, "`bridge convert` has it"),
    ("plugins --overwrite", 2, "`bridge convert` has it"),
    ("plugins -o out.txt", 2, "> FILE"),
    ("plugins --format json", 2, "No such option '--format'"),
    ("plugins --log-file out", 2, "Is a directory"),
    ("plugin", 2, "Did you mean `bridge plugins`?"),
]
NEW_PLUGIN = [
    ("new-plugin", 2, "Such as: bridge new-plugin my_format"),
    ("new-plugin MyFormat", 1, "Such as: bridge new-plugin myformat"),
    ("new-plugin my-format", 1, "Such as: bridge new-plugin my_format"),
    ("new-plugin bridge-caffe", 1, "Such as: bridge new-plugin caffe"),
    ("new-plugin .caffe", 1, "Such as: bridge new-plugin caffe"),
    ("new-plugin 3ds", 1, "Such as: bridge new-plugin ds"),
    ("new-plugin ''", 1, "Such as: bridge new-plugin my_format"),
    ("new-plugin tflite", 1, "is there already"),
    ("new-plugin caffe caffe2", 2, "unexpected extra argument"),
    ("new-plugin caffe --exprt", 2, "Did you mean --export"),
    ("new-plugin caffe -o out", 2, "No such option '-o'"),
    ("new_plugin caffe", 2, "Did you mean `bridge new-plugin`?"),
]
MATRIX = [
    ("matrix", 2, "Missing option '-o'"),
    ("matrix out", 2, "Such as: bridge matrix"),
    ("matrix -o", 2, "requires an argument"),
    ("matrix -o new --routes onnx-tflite", 1, "Write it as onnx:tflite"),
    ("matrix -o new --routes onnx", 1, "Write it as onnx:tflite"),
    ("matrix -o new --routes onnx:tflit", 1, "Did you mean 'tflite'?"),
    ("matrix -o new --routes onnx:xgboost", 1, "XGBoost cannot be written"),
    ("matrix -o new --routes onnx:tflite:coreml", 1, "Write it as onnx:tflite"),
    ("matrix -o new --routes onnx:onnx --ops Convv", 1, "Did you mean 'Conv'?"),
    ("matrix -o new --routes onnx:onnx --cases test_ab", 1, "Did you mean 'test_abs'?"),
    ("matrix -o new --formats onnx,tflit", 1, "Did you mean 'tflite'?"),
    ("matrix -o notes.md --routes onnx:onnx --cases test_abs", 1, "a file is there"),
    ("matrix -o new --mode fast", 2, "'as-is', 'frozen', 'both'"),
    ("matrix -o new --jobs 0", 2, "x>=1"),
    ("matrix -o new --most 0", 2, "x>=1"),
    ("matrix -o new --to tflite", 2, "`bridge convert` has it"),
]
COMPLETION = [
    ("completion", 2, "Such as: bridge completion bash"),
    ("completion bsh", 2, "'bash', 'zsh', 'fish'"),
    ("completion powershell", 2, "'bash', 'zsh', 'fish'"),
    ("completion /bin/bash", 2, "'bash', 'zsh', 'fish'"),
    ("completion bash zsh", 2, "unexpected extra argument"),
    ("completion --shell bash", 2, "Such as: bridge completion bash"),
    ("completion bash --install", 2, "Did you mean --print?"),
    ("completion bash --print out", 2, "unexpected extra argument"),
    ("completion bash -o out", 2, "> FILE"),
    ("completion --print", 2, "Missing argument"),
    ("completions bash", 2, "Did you mean `bridge completion`?"),
]
BRIDGE = [
    ("convrt mnist.onnx", 2, "Did you mean `bridge convert`?"),
    ("mnist.onnx m.tflite", 2, "Did you mean `bridge convert mnist.onnx m.tflite`?"),
    ("--to tflite mnist.onnx", 2, "Options stand behind the command: bridge convert"),
    ("help", 2, "Did you mean `bridge --help`?"),
    ("version", 2, "Did you mean `bridge --version`?"),
    ("--versoin", 2, "--version"),
    ("list", 2, "Did you mean `bridge formats`?"),
    ("info mnist.onnx", 2, "Did you mean `bridge inspect`?"),
    ("predict mnist.onnx", 2, "Did you mean `bridge run`?"),
    ("compare a b", 2, "Did you mean `bridge verify`?"),
    ("quantize mnist.onnx", 2, "Commands: convert, check"),
]
OPTIMIZE = [
    ("optimize", 2, "Such as: bridge optimize model.onnx smaller.onnx"),
    ("optimize mnist.onx p.onnx", 1, "Did you mean 'mnist.onnx'?"),
    ("optimize mnist.onnx", 1, "mnist.onnx exists already"),
    ("optimize mnist.onnx taken.onnx", 1, "--overwrite"),
    ("optimize mnist.onnx p.tflite", 1, "p.tflite is a name of TFLite"),
    ("optimize cut.onnx p.onnx", 1, "Is the file complete?"),
    ("optimize notes.md p.onnx", 1, "Formats that can be read: catboost"),
    ("optimize model.safetensors p.onnx", 1, "optimize reads ONNX files"),
    ("optimize mnist.onnx p.onnx --opset 99", 1, "opset"),
    ("optimize mnist.onnx p.onnx --level 3", 2, "No such option '--level'"),
    ("optimize mnist.onnx p.onnx --to tflite", 2, "--to"),
]
PACKAGE = [
    ("package", 2, "Such as: bridge package model.onnx served --for triton"),
    ("package mnist.onnx", 2, "Missing argument 'DIR'"),
    ("package mnist.onnx new", 2, "Missing option '--for'"),
    ("package mnist.onx new --for triton", 1, "Did you mean 'mnist.onnx'?"),
    ("package mnist.onnx new --for trtion", 1, "Did you mean 'triton'?"),
    ("package mnist.onnx new --for docker", 1, "There are: triton, tfserving, ort"),
    ("package mnist.onnx models --for ort", 1, "is a folder that is no package"),
    ("package mnist.onnx notes.md --for ort --overwrite", 1, "is no package, but a file"),
    ("package mnist.onnx no/new --for ort", 1, "create it first"),
    ("package mnist.onnx new --to onnx", 2, "`bridge convert` has it"),
    ("package mnist.onnx new --for ort --version 2", 1, "ONNX has no option 'version'"),
    ("package mnist.onnx new --for triton -O version=two", 1, "version='two' is not valid"),
    ("package mnist.onnx new --for ort --profile ort-2", 1, "Did you mean 'ort-"),
    ("package mnist.onnx new --for litert --profile ort-1.16", 1, "is of onnx, and TFLite is to be written"),
    ("package mnist.onnx new --for ort -i none.npy", 1, "none.npy does not exist"),
]
PROFILES = [
    ("profiles ort-1.17", 1, "There is no profile 'ort-1.17'"),
    ("profiles ort1.16", 1, "Did you mean 'ort-1.16'?"),
    ("profiles onnxruntime", 1, "`bridge profiles` lists them"),
    ("profiles tensorrt", 1, "Did you mean 'tensorrt-"),
    ("profiles ios-15 ios-16", 2, "unexpected extra argument (ios-16)"),
    ("profiles --profile ort-1.16", 2, "`bridge convert` has it"),
    ("profiles --to onnx", 2, "`bridge convert` has it"),
    ("profiles --list", 2, "No such option '--list'"),
    ("profiles mnist.onnx", 1, "There is no profile 'mnist.onnx'"),
    ("profile", 2, "Did you mean `bridge profiles`?"),
    ("check mnist.onnx --profile ort-1.166", 1, "Did you mean 'ort-1.16'?"),
    ("check mnist.onnx --profile ort-1.16 --to tflite", 1, "is of onnx, and TFLite is to be written"),
    (
        "convert mnist.onnx m.onnx --profile ort-1.16 --max_opset 18",
        1,
        "is chosen by the profile ort-1.16: 19",
    ),
    (
        "convert mnist.onnx m.onnx --profile ort-1.16 --opset 21",
        4,
        "is 21; ONNX Runtime 1.16 takes 19 at most",
    ),
]
EXTRACT = [
    ("extract", 2, "Such as: bridge extract model.onnx part.onnx"),
    ("extract mnist.onx p.onnx", 1, "Did you mean 'mnist.onnx'?"),
    ("extract mnist.onnx p.onnx --to-values Plus30_Output", 1, "Did you mean 'Plus30_Output_0'?"),
    ("extract mnist.onnx p.onnx --to-values nothing", 1, "Some that it has: Input3"),
    ("extract mnist.onnx p.onnx --operators conv", 1, "Did you mean 'Conv'?"),
    ("extract mnist.onnx p.onnx --operators Conv --to-values Plus30_Output_0", 1, "not by both"),
    (
        "extract mnist.onnx p.onnx --from-values Plus214_Output_0 --to-values Plus30_Output_0",
        1,
        "needs Input3 as well",
    ),
    ("extract mnist.onnx p.onnx --inputs Input3", 1, "ONNX has no option 'inputs'"),
    ("extract mnist.onnx p.onnx Plus30_Output_0", 2, "unexpected extra argument"),
    ("extract mnist.onnx --to-values Plus30_Output_0", 1, "Name it with to=…"),
    ("extract mnist.onnx taken.onnx --operators Conv", 1, "--overwrite"),
    ("extract mnist.onnx p.tflit --operators Conv", 1, "Did you mean '.tflite'?"),
]
DIFF = [
    ("diff", 2, "Such as: bridge diff before.onnx after.tflite"),
    ("diff mnist.onnx", 2, "Missing argument 'SECOND'"),
    ("diff mnist.onx mnist.onnx", 1, "Did you mean 'mnist.onnx'?"),
    ("diff mnist.onnx mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("diff mnist.onnx notes.md", 1, "is not recognised"),
    ("diff mnist.onnx models", 1, "It is a folder of models"),
    ("diff cut.onnx mnist.onnx", 1, "Is the file complete?"),
    ("diff mnist.onnx mnist.onnx --weight-only", 2, "--weights-only"),
    ("diff mnist.onnx mnist.onnx --second-from tflite", 1, "is not TFLite, but ONNX"),
    ("diff mnist.onnx mnist.onnx --rtol 1", 2, "`bridge verify` has it"),
    ("diff mnist.onnx mnist.onnx two.onnx", 2, "unexpected extra argument"),
]
BENCH = [
    ("bench", 2, "Such as: bridge bench model.onnx --to tflite,savedmodel"),
    ("bench mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("bench mnist.onnx mnist.onnx", 1, "mnist.onnx is named twice"),
    ("bench mnist.onnx taken.onnx --batches 1,2", 1, "--dims INPUT:0=batch"),
    ("bench batched.onnx --batches 1;2", 2, "'1;2' is not N,N,…"),
    ("bench mnist.onnx --to tflit", 1, "Did you mean 'tflite'?"),
    ("bench mnist.onnx --to xgboost", 1, "XGBoost cannot be written"),
    ("bench cut.onnx", 1, "Is the file complete?"),
    ("bench notes.md", 1, "is not recognised"),
    ("bench models", 1, "It is a folder of models"),
    ("bench mnist.onnx --threads 0", 2, "--threads"),
    ("bench mnist.onnx --seconds 0", 2, "--seconds"),
    ("bench mnist.onnx --on CUDA", 1, "There are, of ONNX: CPUExecutionProvider"),
    ("bench batched.onnx --dims rows=4", 1, "There are: batch."),
    ("bench mnist.onnx --range x=0..1", 1, "There are: Input3."),
    ("bench mnist.onnx -i flat.npy", 1, "takes shape"),
    ("bench mnist.onnx -i no.npy", 1, "no.npy does not exist"),
    ("bench mnist.onnx --opset 17", 1, "None of these formats has an option 'opset'"),
    ("bench mnist.onnx --runs 100", 2, "No such option '--runs'"),
]
BISECT = [
    ("bisect", 2, "Such as: bridge bisect model.onnx model.tflite --write part"),
    ("bisect mnist.onnx", 2, "Missing argument 'CANDIDATE'"),
    ("bisect mnist.onnx mnist.onx", 1, "Did you mean 'mnist.onnx'?"),
    ("bisect mnist.onx mnist.onnx", 1, "Did you mean 'mnist.onnx'?"),
    ("bisect mnist.onnx batched.onnx", 1, "no common inputs: Input3: float[1,1,28,28] and x: float[batch,3]"),
    ("bisect batched.onnx labels.onnx", 1, "no common outputs: y and z"),
    ("bisect mnist.onnx notes.md", 1, "is not recognised"),
    ("bisect mnist.onnx models", 1, "It is a folder of models"),
    ("bisect cut.onnx mnist.onnx", 1, "Is the file complete?"),
    ("bisect mnist.onnx mnist.onnx -i none.npy", 1, "none.npy does not exist"),
    ("bisect mnist.onnx mnist.onnx -i flat.npy", 1, "takes shape [1,1,28,28], not [784]"),
    ("bisect mnist.onnx mnist.onnx -i image=image.npy", 1, "they are Input3"),
    ("bisect batched.onnx batched.onnx --dims bacth=2", 1, "Did you mean 'batch'?"),
    ("bisect mnist.onnx mnist.onnx --range input=0..1", 1, "Inputs: Input3"),
    ("bisect mnist.onnx mnist.onnx --write out", 1, "out is a folder: it is not replaced"),
    ("bisect mnist.onnx mnist.onnx --write no/part", 1, "no does not exist: create it first"),
    ("bisect mnist.onnx mnist.onnx --candidate-from tflite", 1, "is not TFLite, but ONNX"),
    ("bisect mnist.onnx mnist.onnx --precision float16", 2, "neither model's format"),
    ("bisect mnist.onnx mnist.onnx --rtol 1", 2, "`bridge verify` has it"),
    ("bisect mnist.onnx mnist.onnx --to tflite", 2, "`bridge convert` has it"),
]
SIGN = [
    ("sign", 2, "Such as: bridge sign model.onnx --key key.pem"),
    ("sign mnist.onnx", 2, "Missing option '--key'"),
    ("sign mnist.onx --key key.pem", 1, "Did you mean 'mnist.onnx'?"),
    ("sign mnist.onnx --key none.pem", 1, "none.pem does not exist"),
    ("sign notes.md --key key.pem", 1, "is not recognised"),
    ("sign cut.onnx --key key.pem", 1, "Is the file complete?"),
    ("sign taken.onnx --key key.pem", 1, "--overwrite"),
    ("sign mnist.onnx --key key.pem --signature no/m.sig", 1, "create it first"),
    ("sign mnist.onnx --key key.pem --signature out", 1, "out is a folder"),
    ("sign mnist.onnx --key key.pem --password-file none.txt", 2, "none.txt is not read"),
    ("sign mnist.onnx --key key.pem", 1, "formatbridge[signing]"),
    ("sign mnist.onnx key.pem", 2, "Missing option '--key'"),
]
VERIFY_SIGNATURE = [
    ("verify-signature", 2, "Such as: bridge verify-signature model.onnx --key key.pub"),
    ("verify-signature taken.onnx", 2, "Missing option '--key'"),
    ("verify-signature mnist.onx --key key.pem", 1, "Did you mean 'mnist.onnx'?"),
    ("verify-signature taken.onnx --key none.pub", 1, "none.pub does not exist"),
    ("verify-signature mnist.onnx --key key.pem", 1, "mnist.onnx.sig does not exist"),
    ("verify-signature mnist.onnx --key key.pem --signature none.sig", 1, "none.sig does not exist"),
    ("verify-signature mnist.onnx --key key.pem --signature notes.md", 3, "notes.md is no signature"),
    ("verify-signature mnist.onnx --key key.pem --signature jobs.toml", 3, "Is the file complete?"),
    ("verify-signature taken.onnx --key key.pem", 1, "formatbridge[signing]"),
    ("verify-signature taken.onnx --key key.pem --password-file p", 2, "`bridge sign` has it"),
    ("verify-signature taken.onnx taken.onnx.sig --key key.pem", 2, "unexpected extra argument"),
]
TABLES = {
    "bench": BENCH,
    "convert": CONVERT,
    "check": CHECK,
    "verify": VERIFY,
    "bisect": BISECT,
    "run": RUN,
    "inspect": INSPECT,
    "extract": EXTRACT,
    "package": PACKAGE,
    "profiles": PROFILES,
    "optimize": OPTIMIZE,
    "diff": DIFF,
    "sign": SIGN,
    "verify-signature": VERIFY_SIGNATURE,
    "formats": FORMATS,
    "plugins": PLUGINS,
    "new-plugin": NEW_PLUGIN,
    "matrix": MATRIX,
    "completion": COMPLETION,
    "": BRIDGE,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as a newcomer has it."""
    place = tmp_path_factory.mktemp("newcomer")
    model = (MODELS / "mnist.onnx").read_bytes()
    for name, data in {
        "mnist.onnx": model,
        "taken.onnx": model,
        "taken.onnx.sig": b'{"dsseEnvelope": {"payload": "eyJwcmVkaWNhdGUiOiB7InJlc291cmNlcyI6IFt7Im5hbWUiOiAiLiJ9XX19"}}',
        "key.pem": b"no key",
        "bad.yaml": b"name: digits\nlicence: MIT\nmetrics:\n  - {name: accuracy, value: high}\n",
        "tabs.yaml": b"name: digits\nauthors:\n\t- Ada\n",
        "models/a.onnx": model,
        "cut.onnx": model[:9000],
        "empty.onnx": b"",
        "empty.bin": b"",
        "notes.md": b"years of work",
        "model.pkl": b"\x80\x04}\x94.",
        "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
        "jobs.toml": b'[[jobs]]\nsource = "mnist.onnx"\n',
        "misspelt.toml": b'[[job]]\nsource = "mnist.onnx"\nto = "tflit"\n',
    }.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data)
    (place / "out").mkdir()
    np.save(place / "image.npy", np.zeros((1, 1, 28, 28), np.float32))
    np.save(place / "flat.npy", np.zeros(784, np.float32))
    np.savez(place / "named.npz", x=np.zeros((2, 3), np.float32))
    np.savez(place / "taken.npz", y=np.zeros(3, np.float32))
    batched = "(float[batch,3] x) => (float[batch,3] y) { y = Relu (x) }"
    two = "(float[2,3] a, float[2,3] b) => (float[2,3] y) { y = Add (a, b) }"
    labels = "(float[batch,3] x) => (int64[batch,3] z) { z = Cast <to = 7> (x) }"
    onnx.save(model_from_text(batched), place / "batched.onnx")
    onnx.save(model_from_text(labels), place / "labels.onnx")
    onnx.save(model_from_text(two), place / "two.onnx")
    return place


def test_every_command_has_ten_mistakes():
    assert TABLES.keys() == {*main.commands, ""}
    assert all(len(table) >= 10 for table in TABLES.values())


@pytest.mark.parametrize(
    ("line", "code", "words"), [row for table in TABLES.values() for row in table], ids=lambda v: str(v)[:60]
)
def test_a_mistake_is_answered_with_the_way_out(folder, monkeypatch, line, code, words):
    monkeypatch.chdir(folder)
    for package in ("cyclonedx.model.bom", "distributed", "model_signing.hashing"):
        monkeypatch.setitem(sys.modules, package, None)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = CliRunner().invoke(main, shlex.split(line))
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(folder, monkeypatch, tmp_path):
    path = tmp_path / "secret.onnx"
    path.write_bytes((folder / "mnist.onnx").read_bytes())
    path.chmod(0)
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 1
    assert "secret.onnx" in result.stderr

#!/usr/bin/env bash
# The main path on a trained model: inspect, rewrite two ways, prove, write back.
#   demo/demo.sh [VITCONV]
set -euo pipefail
cd "$(dirname "$0")/.."
vitconv=$(realpath "${1:-.build/release/vitconv}")
out=build/demo
mkdir -p "$out"
model=fixtures/models/shapes.legacy17.onnx
# Rewrites are fitted and chosen on the first file; the proof is made on the second, which they never saw.
fit=fixtures/data/shapes.npz
test=fixtures/data/shapes_test.npz

step() {
  printf '\n\033[1m$ vitconv %s\033[0m\n' "$*"
  "$vitconv" "$@"
}

echo "A vision transformer trained on drawn shapes: 6 blocks, 32x32 pixels, ten classes."
step inspect "$model"

printf '\nFCViT: as many attention blocks as possible become convolutions with a global context, within one point of top-1.\n'
step convert "$model" -o "$out/fcvit.onnx" --rewrite fcvit --blocks auto --budget top1-drop=0.01 --samples "$fit" --report "$out/fcvit.json"

printf '\nOAMixer: attention looks less across object borders; how much less (kappa) is fitted.\n'
step convert "$model" -o "$out/oamixer.onnx" --rewrite oamixer --samples "$fit" --report "$out/oamixer.json"

printf '\nThe proof, on images that neither rewrite saw.\n'
step validate "$out/fcvit.onnx" --against "$model" --samples "$test" --budget top1-drop=0.01
step validate "$out/oamixer.onnx" --against "$model" --samples "$test" --budget top1-drop=0.01
# The same task from another framework: trained in Keras, saved by Keras, images with channels last.
keras=fixtures/keras/digits.keras
digits=fixtures/data/digits_nhwc.npz
printf '\nA Keras model: read without Python, written as ONNX; the two must agree. Then with FCViT, measured on images that were held out.\n'
step inspect "$keras"
step convert "$keras" -o "$out/digits_plain.onnx"
step validate "$out/digits_plain.onnx" --against "$keras" --samples "$digits"
step convert "$keras" -o "$out/digits.onnx" --rewrite fcvit --blocks auto --budget top1-drop=0.02 --samples "$digits" --report "$out/digits.json"

printf '\nWritten: %s, %s and %s, each with its report beside it.\n' "$out/fcvit.onnx" "$out/oamixer.onnx" "$out/digits.onnx"

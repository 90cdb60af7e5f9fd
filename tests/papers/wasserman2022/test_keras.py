"""The paper's networks built in Keras and converted: the same logits and the same gradient with respect to the image.

Runs where Keras and TensorFlow are (tests/requirements-keras.txt), in an environment of its own. Every bias, scale, mean
and variance is drawn at random, because Keras' own initial values (0 and 1) would hide a swap. Keras computes in float64,
and the drawn numbers fit float32 exactly, sums included: then not a single ReLU switches differently, and gradients can
be compared to the last digits too.
"""

import importlib
import os
import warnings

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401 — before TensorFlow: loaded after it, the two abort

from palpate.models.build import build
from palpate.models.classifier import Classifier
from palpate.models.heads import Head
from palpate.models.soft_attention import SoftAttention
from palpate.papers.wasserman2022.parameters import parameter_count

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]

MEAN = np.array([103.939, 116.779, 123.68])  # BGR


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # TensorFlow's own kernels; see the test of the released attention
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("keras", reason="needs tests/requirements-keras.txt")
    before = module.config.floatx()
    module.config.set_floatx("float64")
    yield module
    module.config.set_floatx(before)


def draw(keras, network, seed=0):
    """Random values for every weight, of a size that keeps activations near one through the depth."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        values = []
        for weight in layer.weights:
            name, shape = weight.path.rsplit("/", 1)[1], tuple(weight.shape)
            if name == "kernel":
                values.append(random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
            elif name in ("gamma", "moving_variance"):
                values.append(random.uniform(0.5, 1.5, shape))
            else:
                values.append(random.normal(0, 0.2, shape))
        layer.set_weights([np.round(value * 2**14) / 2**14 for value in values])


def head(keras, x, attention, flat, classes):
    """The four heads of the paper, written in Keras from its text."""
    layers, ops = keras.layers, keras.ops
    if attention:
        z = layers.Conv2D(16, 3, padding="same", activation="relu", name="attention")(x)
        height, width = z.shape[1:3]
        weight = layers.Softmax(axis=1)(layers.Reshape((height * width, 16))(z))
        weight = layers.Lambda(lambda w: ops.sum(w, axis=-1))(weight)
        u = layers.Multiply()([x, layers.Reshape((height, width, 1))(weight)])
        pooled = [layers.MaxPooling2D(2, padding="same")(part) for part in (x, u)]
        x = layers.Concatenate()(pooled)
    if attention or flat:
        x = layers.Dropout(0.5)(layers.Activation("relu")(x))
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    return layers.Dense(classes, name="dense")(x)


def keras_pair(keras, tmp_path, backbone, size, attention, classes=3):
    """A Keras classifier, and ours: the backbone converted from an h5 file, attention and dense copied."""
    legacy_h5_format = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")

    h5py = pytest.importorskip("h5py")
    flat = "inception" in backbone
    make = keras.applications.InceptionResNetV2 if flat else keras.applications.ResNet50
    base = make(weights=None, include_top=False, input_shape=(size, size, 3))
    topped = make(weights=None, include_top=True, input_shape=(size, size, 3), classes=2)
    # The reference cuts at layers[-28] and layers[-3] of the network with its top.
    place = topped.layers.index(topped.layers[-28] if flat else topped.layers[-3])
    x = base.layers[place].output
    whole = keras.Model(base.input, head(keras, x, attention, flat, classes))
    draw(keras, base)
    draw(keras, keras.Model(x, whole.output), seed=1)
    path = tmp_path / "keras_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, base)

    ours = build(backbone, attention, num_classes=classes, weights=path, size=size).eval()
    kernel, bias = whole.get_layer("dense").get_weights()
    assert isinstance(ours.head, Head)
    with torch.no_grad():
        ours.head.dense.weight.copy_(torch.from_numpy(kernel.T))
        ours.head.dense.bias.copy_(torch.from_numpy(bias))
        if ours.attention is not None:
            kernel, bias = whole.get_layer("attention").get_weights()
            ours.attention.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            ours.attention.bias.copy_(torch.from_numpy(bias))
    return whole, ours


def keras_logits_and_gradient(network, images, cotangent):
    """Logits and the gradient of ⟨logits, cotangent⟩ with respect to RGB images in [0, 1], (N, 3, H, W)."""
    tf = importlib.import_module("tensorflow")

    rgb = tf.constant(images.transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(rgb)
        logits = network(rgb[..., ::-1] * 255 - MEAN, training=False)
        total = tf.reduce_sum(logits * cotangent)
    return logits.numpy(), tape.gradient(total, rgb).numpy().transpose(0, 3, 1, 2)


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize("attention", [None, "full"])
@pytest.mark.parametrize(("backbone", "size"), [("keras:resnet50", 128), ("keras:inception_resnet_v2", 192)])
def test_logits_and_input_gradients_equal_those_of_keras(keras, tmp_path, backbone, size, attention):
    whole, ours = keras_pair(keras, tmp_path, backbone, size, attention)
    random = np.random.default_rng(2)
    images = random.random((2, 3, size, size))
    cotangent = random.normal(size=(2, 3))
    theirs, gradient = keras_logits_and_gradient(whole, images, cotangent)
    with torch.no_grad():
        assert relative(ours(torch.from_numpy(images).float()).numpy(), theirs) < 1e-4

    ours = ours.double()
    ours.normalize.mean.copy_(torch.from_numpy(MEAN[::-1] / 255).view(1, 3, 1, 1))
    ours.normalize.std.fill_(1 / 255)
    leaf = torch.from_numpy(images).requires_grad_()
    logits = ours(leaf)
    (logits * torch.from_numpy(cotangent)).sum().backward()
    assert leaf.grad is not None
    found = relative(logits.detach().numpy(), theirs), relative(leaf.grad.numpy(), gradient)
    assert max(found) < 1e-9
    assert parameter_count(ours) == whole.count_params()


def test_a_bgr_flip_left_out_would_be_seen(keras, tmp_path):
    whole, ours = keras_pair(keras, tmp_path, "keras:resnet50", 128, None)
    images = np.random.default_rng(2).random((1, 3, 128, 128))
    theirs, _ = keras_logits_and_gradient(whole, images, np.ones((1, 3)))
    with torch.no_grad():
        assert relative(ours(torch.from_numpy(images).float()).numpy(), theirs) < 1e-4
        assert relative(ours(torch.from_numpy(images[:, ::-1].copy()).float()).numpy(), theirs) > 1e-2


@pytest.mark.parametrize(("channels", "side"), [(2048, 7), (192, 5), (192, 8)])
@pytest.mark.parametrize("compiled", [False, True])
def test_released_attention_equals_keras_conv3d(keras, channels, side, compiled):
    """Three readings of one layer: TensorFlow's own CPU kernel reads the middle channels; XLA and oneDNN the first."""
    tf = importlib.import_module("tensorflow")

    random = np.random.default_rng(channels)
    x = random.normal(size=(2, side, side, channels)).astype(np.float32)
    kernel = random.normal(0, 0.1, (channels, 3, 3, 1, 16)).astype(np.float32)
    bias = random.normal(0, 0.1, 16).astype(np.float32)
    layer = keras.layers.Conv3D(16, (channels, 3, 3), strides=(1, 1, channels), padding="same", dtype="float32")
    layer.build((None, side, side, channels, 1))
    layer.set_weights([kernel, bias])
    run = tf.function(lambda volume: layer(volume), jit_compile=True) if compiled else layer
    theirs = np.asarray(run(tf.constant(x[..., None])))[:, :, :, 0]  # (N, h, w, m)

    ours = SoftAttention(channels, variant="released", window=0 if compiled else None)
    with torch.no_grad():
        ours.weight.copy_(torch.from_numpy(kernel[:, :, :, 0].transpose(3, 2, 0, 1).copy()))
        ours.bias.copy_(torch.from_numpy(bias))
        z = ours.logits(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    assert np.abs(z.numpy().transpose(0, 2, 3, 1) - theirs).max() < 1e-5


def test_the_cut_is_the_layer_that_the_paper_names(keras):
    network = keras.applications.InceptionResNetV2(weights=None)
    cut = network.layers[-28]
    assert isinstance(cut, keras.layers.BatchNormalization)
    assert cut.output.shape[-1] == 192
    assert isinstance(build("keras:inception_resnet_v2", size=299), Classifier)

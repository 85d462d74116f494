"""PreAct-ResNet-18 in evaluation mode as an ONNX graph with random weights.

The network of bench/pytorch/preact_resnet.py. Batch norms are nodes of their own, as an exporter
writes them: folding and fusing is the runtime's work.
"""

import numpy
from onnx import TensorProto, checker, helper, numpy_helper

CLASSES = 10


class Graph:
    def __init__(self):
        self.nodes, self.weights = [], []
        self.random = numpy.random.default_rng(0)

    def weight(self, values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(numpy.float32), name))
        return name

    def node(self, kind, *inputs, **attributes):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(self, x, channels, filters, stride=1, window=3):
        weight = self.random.standard_normal((filters, channels, window, window))
        weight *= (2 / (filters * window * window)) ** 0.5
        return self.node("Conv", x, self.weight(weight), strides=[stride, stride],
                         kernel_shape=[window, window], pads=[window // 2] * 4)

    def norm_relu(self, x, channels):
        vectors = [self.random.uniform(0.5, 1.5, channels) for _ in range(4)]
        return self.node("Relu", self.node("BatchNormalization", x, *map(self.weight, vectors),
                                           epsilon=1e-5))

    def block(self, x, channels, filters, stride):
        z = self.norm_relu(x, channels)
        shortcut = x
        if stride != 1 or channels != filters:
            shortcut = self.convolution(z, channels, filters, stride, window=1)
        inner = self.norm_relu(self.convolution(z, channels, filters, stride), filters)
        return self.node("Add", self.convolution(inner, filters, filters), shortcut)


def preact_resnet18(width, batch):
    """The model with input "images" float32 [batch,3,32,32] and output logits [batch,10]."""
    graph = Graph()
    x, channels = graph.convolution("images", 3, width), width
    for stage in range(4):
        x = graph.block(x, channels, width << stage, 1 if stage == 0 else 2)
        channels = width << stage
        x = graph.block(x, channels, channels, 1)
    pooled = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    logits = graph.node("Gemm", pooled,
                        graph.weight(graph.random.standard_normal((CLASSES, channels)) * 0.05),
                        graph.weight(numpy.zeros(CLASSES)), transB=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "preact_resnet18",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])],
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [batch, CLASSES])],
            graph.weights),
        opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    checker.check_model(model)
    return model

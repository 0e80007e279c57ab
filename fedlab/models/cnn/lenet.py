"""LeNet with 20 and 50 channels and 500 hidden units, as Caffe, NITI and Mandheling have it (431,000 weights)."""

from fedlab.common.arrays import Shape
from fedlab.models.cnn.layers import Conv, Flatten, Layer, Linear, MaxPool, Relu, shape_after

_POOL = MaxPool(kernel=(2, 2), stride=(2, 2))


def lenet(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return two 5 x 5 convolutions with ReLU and pooling, and two linear layers; images have 16 x 16 pixels or more.

    Raises ValueError for smaller images.
    """
    channels = input_shape[0]
    features = (
        Conv(inputs=channels, outputs=20, kernel=(5, 5)),
        Relu(),
        _POOL,
        Conv(inputs=20, outputs=50, kernel=(5, 5)),
        Relu(),
        _POOL,
        Flatten(),
    )
    (flat,) = shape_after(features, input_shape)
    return (*features, Linear(inputs=flat, outputs=500), Relu(), Linear(inputs=500, outputs=labels))

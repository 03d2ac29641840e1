"""Your own model on your own data: logistic regression on points in a square.

    python -m mpitrain launch -n 2 jobs/own.py

Or its two factories from the command line: model.kind=jobs.own:make_model and
data.source=jobs.own:make_data.
"""

import numpy as np

import mpitrain


class Logistic:
    """Which side of a line a point lies on; losses and gradients are sums over samples."""

    metric_name = "accuracy"

    def __init__(self, num_features):
        self.layout = mpitrain.Layout.of({"w": (num_features,), "b": (1,)}, "float32")

    def init(self, seed):
        """Return the initial parameters, flat; the same for the same seed."""
        return np.random.default_rng(seed).normal(0, 0.1, self.layout.size).astype("float32")

    def loss_and_gradient(self, parameters, batch, out):
        """Return the loss and write the gradient of every parameter into ``out``."""
        scores = batch.x @ parameters["w"] + parameters["b"]
        errors = (1 / (1 + np.exp(-scores)) - batch.y).astype("float32")
        np.matmul(errors, batch.x, out=out["w"])
        out["b"][0] = errors.sum()
        return float(np.logaddexp(0, scores).sum() - scores @ batch.y)

    def evaluate(self, parameters, batch):
        """Return the loss and the number of right answers."""
        scores = batch.x @ parameters["w"] + parameters["b"]
        loss = float(np.logaddexp(0, scores).sum() - scores @ batch.y)
        return {"loss": loss, "accuracy": float(((scores > 0) == batch.y).sum())}


def make_data(config):
    """Return the samples; ``config.data.path`` and others say where yours are."""
    x = np.random.default_rng(0).random((5000, 2), np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64)
    return mpitrain.ArraySource(x[:4000], y[:4000], x[4000:], y[4000:])


def make_model(config, source):
    """Return a model that fits the data."""
    return Logistic(source.sample_shape[0])


if __name__ == "__main__":
    data = make_data(mpitrain.Config())
    result = mpitrain.train(Logistic(2), data, **{"mode.kind": "ssp", "optimizer.rate": 0.5})
    print(result.accuracy, result.staleness_mean, result.parameters["w"])

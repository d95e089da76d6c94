"""Windows of a time series."""

import numpy as np
import pytest

import xlathe as xl

STEPS = np.arange(20.0, dtype="float32").reshape(10, 2)


def test_windows_and_their_targets():
    data = xl.utils.timeseries_dataset_from_array(
        STEPS[:-3], STEPS[3:, 0], sequence_length=2, sampling_rate=2, batch_size=3
    )
    batches = list(data)
    assert len(batches) == len(data) == 2
    np.testing.assert_array_equal(batches[0][0][:, :, 0], [[0, 4], [2, 6], [4, 8]])
    np.testing.assert_array_equal(batches[0][1], [6, 8, 10])
    assert [len(x) for x, _ in batches] == [3, 2]
    assert len(list(data)) == 2


def test_other_windows():
    several = xl.utils.timeseries_dataset_from_array(
        STEPS, None, 3, sequence_stride=2, batch_size=None, start_index=1, end_index=9
    )
    np.testing.assert_array_equal([window[0, 0] for window in several], [2, 6, 10])
    shuffled = xl.utils.timeseries_dataset_from_array(STEPS, None, 1, shuffle=True, seed=0)
    (batch,) = shuffled
    assert sorted(batch[:, 0, 0]) == list(STEPS[:, 0])
    assert list(batch[:, 0, 0]) != list(STEPS[:, 0])
    model = xl.Sequential([xl.layers.Flatten(), xl.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = xl.utils.timeseries_dataset_from_array(STEPS / 20, STEPS[:, 0], 3, batch_size=4)
    assert len(model.fit(data, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"sequence_stride": 0}, {"sampling_rate": 11}, {"start_index": 10}, {"end_index": 11}],
)
def test_what_is_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"Received: .*{next(iter(wrong))}="):
        xl.utils.timeseries_dataset_from_array(STEPS, None, 2, **wrong)

import numpy as np
import pytest

from xlsr_model.network import (
    RUNGS,
    check_weights,
    initial_weights,
    layers,
    macs_per_pixel,
    parameter_count,
)


@pytest.mark.parametrize(("scale", "parameters"), [(2, 17_612), (3, 21_947), (4, 28_016)])
def test_xlsr_has_the_parameters_of_the_paper(scale, parameters):
    assert parameter_count("xlsr", scale) == parameters
    assert (
        sum(value.size for value in initial_weights("xlsr", scale, seed=0).values()) == parameters
    )


def test_layer_table_of_x3():
    table = [
        (layer.channels_in, layer.channels, layer.kernel, layer.groups, layer.activation)
        for layer in layers("xlsr", 3)
    ]
    block = [(32, 32, 3, 4, "relu"), (32, 32, 1, 1, "none")]
    assert table == [
        (3, 32, 3, 1, "relu"),
        (32, 32, 1, 1, "none"),
        *block * 3,
        (3, 16, 3, 1, "none"),
        (48, 32, 1, 1, "relu"),
        (32, 27, 3, 1, "clip"),
    ]
    assert [layer.parameters for layer in layers("xlsr", 3)][:4] == [896, 1_056, 2_336, 1_056]
    assert macs_per_pixel("xlsr", 3) == 21_616


@pytest.mark.parametrize(
    ("rung", "times"), [("lite", 0.36), ("xlsr", 1), ("plus", 3), ("max", 6.9)]
)
def test_a_rung_takes_its_share_of_the_work(rung, times):
    assert macs_per_pixel(rung, 3) / macs_per_pixel("xlsr", 3) == pytest.approx(times, abs=0.05)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_is_its_width_and_its_blocks(rung):
    width, blocks = RUNGS[rung].width, RUNGS[rung].blocks
    table = layers(rung, 2)
    assert [layer.name for layer in table if layer.groups == 4] == [
        f"block{block}_grouped" for block in range(1, blocks + 1)
    ]
    side, merge, head = table[-3:]
    assert (side.channels, merge.channels_in, merge.channels) == (width // 2, width * 3 // 2, width)
    assert {layer.channels for layer in table[:-3]} == {width}
    assert (head.channels_in, head.channels) == (width, 12)


def test_compared_networks_have_the_sizes_of_their_class():
    assert parameter_count("espcn", 3) == pytest.approx(31_000, rel=0.02)
    assert parameter_count("fsrcnn", 3) == pytest.approx(25_000, rel=0.02)


def test_initial_kernels_are_he_normal_with_a_tenth_of_the_variance():
    weights = initial_weights("xlsr", 3, seed=3)
    assert weights["head/kernel"].std() == pytest.approx(np.sqrt(0.1 * 2 / (9 * 32)), rel=0.05)
    assert weights["block1_grouped/kernel"].std() == pytest.approx(
        np.sqrt(0.1 * 2 / (9 * 8)), rel=0.05
    )
    assert not weights["head/bias"].any()


def test_same_seed_gives_same_weights():
    first, second = (initial_weights("xlsr", 3, seed=9) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_weights_of_another_scale_are_refused_by_the_layer_that_differs():
    with pytest.raises(
        ValueError,
        match=r"not weights of xlsr x3: "
        r"expected head/kernel \(3, 3, 32, 27\), got \(3, 3, 32, 12\)",
    ):
        check_weights(initial_weights("xlsr", 2, seed=0), "xlsr", 3)


def test_unknown_network_is_named():
    with pytest.raises(
        ValueError, match="unknown network 'edsr'; known: espcn, fsrcnn, lite, xlsr"
    ):
        layers("edsr", 3)


@pytest.mark.parametrize("network", ["xlsr", "max"])
def test_with_the_identity_a_deep_network_starts_by_passing_its_input_on(network):
    plain, passing = (
        initial_weights(network, 3, seed=9, identity=identity) for identity in (False, True)
    )
    added = {name: passing[name] - plain[name] for name in plain}
    for layer in layers(network, 3):
        kernel = added[f"{layer.name}/kernel"]
        if layer.channels_in != layer.channels:
            assert not kernel.any()
            continue
        x = np.arange(1, layer.channels + 1, dtype=np.float32)
        groups = x.reshape(layer.groups, -1).repeat(layer.channels // layer.groups, axis=0)
        y = np.einsum("oi,io->o", groups, kernel[layer.kernel // 2, layer.kernel // 2])
        assert np.allclose(y, x, atol=1e-5)

"""What the pages of the reference are called, where they point, and how long ones are grouped."""

TITLES = {  # of the pages, in their order; a room that is not here comes last, under its name
    "time": "Time",
    "neurons": "Neurons",
    "presets": "Neurons and rules of other libraries",
    "field": "Fields of your own neurons",
    "surrogate": "Surrogate gradients",
    "nn": "Layers and networks",
    "encode": "Encoders",
    "readout": "Readouts",
    "losses": "Losses",
    "statistics": "Statistics of spike trains",
    "data": "Data",
    "train": "Training",
    "models": "Models",
    "learning": "Learning rules",
    "debug": "Seeing inside",
    "plot": "Pictures",
    "cost": "Operations and energy",
    "convert": "Conversion",
    "nir": "NIR",
}

GUIDES = {  # pages that say when to use what
    "time": ("walks", "exactness"),
    "neurons": ("choosing", "own_neuron", "time"),
    "presets": ("from_snntorch", "from_norse", "from_sinabs", "from_spyx"),
    "field": ("own_neuron",),
    "surrogate": ("surrogates", "choosing"),
    "nn": ("own_layer", "choosing"),
    "encode": ("choosing",),
    "readout": ("choosing",),
    "losses": ("choosing", "recipes"),
    "data": ("data",),
    "train": ("training", "silent", "recipes"),
    "models": ("models",),
    "learning": ("learning", "learning_rules", "local_rules"),
    "debug": ("seeing", "silent"),
    "plot": ("seeing",),
    "cost": ("operations",),
    "convert": ("conversion", "bring_your_model"),
    "nir": ("nir",),
    "units": ("time",),
}

FAMILIES = {  # of the long pages; what is in none of them comes last, under "More"
    "neurons": {
        "Integrate and fire": "IF LIF LI QIF EIF KLIF CLIF ILIF TernaryIF TernaryLIF GatedLIF LIAF"
        " DiscreteLIF",
        "Synapses and adaptation": "CubaLIF Alpha ALIF AdLIF SEAdLIF SiLIF TCLIF",
        "Oscillators and cells": "ResonateAndFire BRF Izhikevich Izhikevich2003 AdEx",
        "A whole sequence at once": "PSN MaskedPSN SlidingPSN",
        "Around another neuron": "Refractory Stochastic MembraneNoise Quantized FixedPoint",
        "Delays and filters": "Delay SynapseFilter",
        "The bases of your own": "Neuron SequenceNeuron",
    },
    "nn": {
        "Networks": "Sequential SpikingModule Spiking Residual Parallel Recurrent Bidirectional"
        " SpikingLSTM SpikingGRU Plastic",
        "Connections": "Conv Delayed DHLIF SparseLinear WSConv WSLinear DropConnectLinear",
        "Shapes": "Flatten fold_time MaxPool AvgPool AdaptiveAvgPool Upsample Voting",
        "Normalization, regularization": "BatchNorm ThresholdDependentBatchNorm"
        " TemporalEffectiveBatchNorm BatchNormThroughTime NeuNorm Dropout fuse_conv_bn",
        "Attention": "SpikingSelfAttention SpikeDrivenSelfAttention TokenQKAttention"
        " ChannelQKAttention TemporalWiseAttention MultiDimensionalAttention",
    },
    "learning": {
        "Gradients in time": "cut explain online Online OnlineStep Feedback direct align"
        " accumulate",
        "Plasticity": "STDP TripletSTDP PostSpikeSTDP MSTDP MSTDPET DopamineSTDP PlasticityRule"
        " ModulatedRule",
        "Weights and homeostasis": "WeightDependence Additive Proportional PowerLaw normalize"
        " SynapticScaling",
    },
}

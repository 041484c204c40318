"""The networks: trained with QCFS activations, later converted to spikes."""

"""`import polyglyph.compat.nvdiffrast.torch as dr`: the public names of nvdiffrast 0.4 over our kernels.

Nothing here comes from nvdiffrast: names, argument order and layouts are those its documentation states.
"""

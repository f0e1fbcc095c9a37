"""Every hot loop of the project. Imports nothing from ``w2v``; shipped as ``w2v.kernels``. README.md lists them."""

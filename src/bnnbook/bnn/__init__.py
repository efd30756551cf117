"""Approximate posteriors of networks: one module each, the same verbs.

Every module has ``fit(rng_key, network, data, settings) -> fitted``, where ``network`` is a
``bnnbook.models.bayesian_network.Network``, ``data`` is ``network.data(x, y)`` and ``settings`` is
the module's own ``Settings``. They all see the same ``network.log_density``. No function knows a
data set, a size or a standardisation: the caller scales x and y.

What is alike has these names in each module's ``Settings``, and these arguments of ``fit``:

================= ================ =========================== ==================================
module            chains are       the search or the chain     further arguments of ``fit``
================= ================ =========================== ==================================
``map``           one              the settings themselves,    ``validation``
                                   which are ``train``'s
``deep_ensemble`` ``num_members``  ``search``                  ``validation``, ``num_devices``
``swag``          ``num_members``  ``search``                  ``validation``, ``num_devices``
``mc_dropout``    one              ``search``                  ``validation``
``laplace``       one              ``map_steps``, then         ``start``
                                   ``newton_steps``
``mean_field``    ``num_fits``     ``num_steps``               ``start``, ``num_devices``
``sgld``          ``num_chains``   ``num_warmup``,             ``start``, ``num_devices``
                                   ``num_samples``
``nuts``          ``num_chains``   ``num_warmup``,             ``temperature``, ``tempered``
                                   ``num_samples``
================= ================ =========================== ==================================

``search`` is a ``train.Settings``. ``num_draws`` is how many draws a chain predict, of all but
``map`` and ``deep_ensemble`` (one) and of the samplers (``num_samples``).

What every ``fitted`` has:

- ``fitted.predict(x)``: an ``xarray.DataArray`` of likelihood parameters with the dimensions
  ``("chain", "draw", "point", "parameter")``, which NumPy functions take as the array it is. The
  coordinate ``parameter`` is ``["mean", "sd"]`` for both Gaussian likelihoods, in the units of the
  y that were fitted, and ``["log_p[0]", "log_p[1]", ...]``, log probabilities that sum to one in
  probability, for the categorical. The prediction is the equal mixture over chain and draw:
  draws of a posterior, members of an ensemble (a chain each, one draw), masks of dropout.
  Calling it twice gives the same numbers; methods that must draw keep a key of their own.
- ``fitted.network``, ``fitted.method`` (a name for tables) and ``fitted.seconds`` (wall time of
  the fit, compilation included).

Where weights were drawn, ``fitted.params`` holds them as a ``Params`` whose leaves have the axes
chain and draw first, ``fitted.log_density(data)`` is of shape (chain, draw), and
``fitted.tree(x, data)`` is a ``DataTree`` for diagnostics in function space.
"""

"""Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020), and what lies beyond it."""

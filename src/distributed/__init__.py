"""Several processes that train together: who they are, how they are started and watched."""

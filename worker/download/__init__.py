"""From a URL to an image's bytes: allowed URLs and addresses, names, sockets, hosts' paces, bodies, memory, retries."""

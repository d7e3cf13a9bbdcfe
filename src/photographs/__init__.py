"""Words on whole photographs: where they are, their crops, their order, a picture of them. No networks of our own."""

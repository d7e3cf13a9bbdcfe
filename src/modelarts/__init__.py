"""What model_utils/moxing_adapter.py needs on Huawei Cloud ModelArts: archives, and processes that share a node."""

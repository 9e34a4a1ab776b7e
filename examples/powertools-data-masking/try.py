"""`npm start` runs the provider: it encrypts a customer, decrypts it, and erases a field with Powertools alone."""

from aws_lambda_powertools.utilities.data_masking import DataMasking
from keyfold_provider import KeyfoldProvider

masker = DataMasking(provider=KeyfoldProvider(tenant="tenant-1"))
customer = {"name": "Ada", "card": "4111 1111 1111 1111"}

encrypted = masker.encrypt(customer, table="Customers", id="ada")
print("encrypted:", encrypted)
print("decrypted:", masker.decrypt(encrypted, table="Customers", id="ada"))
print("erased:", masker.erase(customer, fields=["card"]))

try:
    masker.decrypt(encrypted, table="Customers", id="grace")
except RuntimeError as error:
    print("elsewhere:", error)

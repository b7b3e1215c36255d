import Web

serveSandbox()
